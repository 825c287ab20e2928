"""Two products in a row are taken in the order that needs fewer multiplications: (Q K^T) V or Q (K^T V).

A chain of products of three streams with nothing but scales between is one sum of products, whichever two meet first.
Of N tokens of d channels the one order takes 2 N N d products and keeps N x N numbers, the other 2 N d d and d x d. A
neuron, a softmax, a mask or a rounding between the two ends the chain, and so does another reader of the first product.
The order is chosen by the shapes alone; of equal ones it stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from string import ascii_lowercase

from ..ir.equation import Equation
from ..ir.graph import Graph, free_name, prune
from ..ir.nodes import Node, Product, View
from ..ir.types import Shape, Value
from ._edit import both_origins, edit, exhausted, up_through_views


def reassociate(graph: Graph) -> Graph:
    """A graph whose chains of two products take the cheaper order; meaning unchanged."""
    return exhausted(graph, _turned, tidy=prune)


def _turned(graph: Graph, node: Node) -> Graph | None:
    """The graph with one chain in another order; None where ``node`` ends none, or no order is cheaper."""
    if not isinstance(node, Product) or node.timing is not None:
        return None
    for place in (0, 1):
        views, first = up_through_views(graph, node.inputs[place], ("permute",))
        alone = len(graph.consumers[first.name]) == 1 and node.inputs[0] != node.inputs[1]
        if isinstance(first, Product) and first.timing is None and alone:
            made = _cheaper(graph, first, views, node, place)
            if made is not None:
                return made
    return None


def _cheaper(graph: Graph, first: Product, views: list[View], second: Product, place: int) -> Graph | None:
    """The graph with the third operand met before one of the two that ``first`` joins."""
    letters, kept = _letters(first, views, second, place)
    if kept is None:
        return None
    operands = tuple(zip((*first.inputs, second.inputs[1 - place]), letters, strict=True))
    (a, left), (b, right), (c, third) = operands
    axes = {
        letter: (role, size)
        for name, term in operands
        for letter, role, size in zip(term, graph.values[name].shape.roles, graph.shape(name), strict=True)
    }
    sizes = {letter: size for letter, (_, size) in axes.items()}
    now = _work(sizes, left + right) + _work(sizes, _between(left, right, third + kept) + third)
    orders = []
    for (x, own), (y, other) in (((a, left), (b, right)), ((b, right), (a, left))):
        between = _between(other, third, own + kept)
        orders.append(
            (_work(sizes, other + third) + _work(sizes, own + between), (x, own), (y, other), between)
        )
    work, (x, own), (y, other), between = min(orders, key=lambda order: order[0])
    equations = Equation(other, third, between), Equation(own, between, kept)
    if work >= now or any(e.lone or e.repeats for e in equations):
        return None
    shape = Shape(*zip(*(axes[letter] for letter in between), strict=True))
    name = free_name(f"{second.name}.first", graph.nodes)
    inner = Product(name=name, inputs=(y, c), origin=first.origin, equation=str(equations[0]))
    outer = replace(
        second, inputs=(x, name), equation=str(equations[1]), scale=first.scale * second.scale,
        origin=both_origins(first, second),
    )  # fmt: skip
    return edit(graph, {second.name: [(inner, Value(shape)), (outer, graph.values[second.name])]}, {})


def _letters(
    first: Product, views: list[View], second: Product, place: int
) -> tuple[tuple[str, str, str], str | None]:
    """The letters of all three operands and of the result, those of ``first``; None where a letter stands twice."""
    own, last = first.einsum, second.einsum
    out = own.out
    for view in reversed(views):
        out = "".join(out[axis] for axis in view.args)
    met, third = (last.left, last.right)[:: 1 - 2 * place]
    names = dict(zip(met, out, strict=True))
    free = (letter for letter in ascii_lowercase if letter not in own.left + own.right)
    for letter in third:
        if letter not in names:
            names[letter] = next(free)
    twice = len(set(out)) < len(out) or len(set(names.values())) < len(names)
    renamed, kept = ("".join(names[letter] for letter in term) for term in (third, last.out))
    return (own.left, own.right, renamed), None if twice else kept


def _between(a: str, b: str, wanted: str) -> str:
    """What two operands leave of their letters, where the others have those of ``wanted``; each once, in order."""
    return "".join(letter for letter in dict.fromkeys(a + b) if letter in wanted)


def _work(sizes: Mapping[str, int], letters: str) -> int:
    """How many products a product of operands with these letters takes."""
    total = 1
    for letter in set(letters):
        total *= sizes[letter]
    return total
