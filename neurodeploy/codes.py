"""The catalogue behind ``neurodeploy explain CODE``: one entry per error or warning code.

An entry is a line of code and title, then, indented, what it means, why it matters and what to do. Lines of ``===`` and
``#`` are headings.
"""

from __future__ import annotations

import re

from .errors import UsageError, unknown_name

CATALOGUE = """
=== 1xx import
ND101 an operator without a counterpart in the graph
  The graph knows eleven kinds of node: synapses (linear layers and convolutions), neurons, products of two streams,
  sums, reductions, rearrangements, and the non-spiking operators listed by 'neurodeploy ops'. The model uses an
  operator, or a form of one, that none of them can express exactly. All such places are listed at once, with module,
  file and line. Replace the operator by supported ones, or add a file to neurodeploy/microcode and a builder to
  neurodeploy/frontends/ops.
ND102 weights that are not finite numbers
  A parameter or buffer of the model holds NaN or infinity. Every output that depends on it is meaningless, and no
  integer can stand for it. Usually the training diverged, or the checkpoint was damaged or half loaded. Each such
  tensor is named, with the number of bad values.
ND103 the input shape does not fit the model
  The model was run once on a batch of zeros of the shape (channels, rows, columns) that its entry, the data set or the
  command names, and an operator of torch did not take it. The message shows that shape with the batch in front, what
  torch said, the line of the model and, where a layer of torch was asked, the size which that layer takes. Give data of
  that shape, or correct input_shape on the module.
ND104 control flow that depends on data
  A graph is the same for every input. The model branches or loops on values of its input, so that different inputs
  would need different graphs. Branches on shapes and settings are fine, since these are known when the model is read.
  Replace the branch by arithmetic, or bring the part of the model without it.
ND105 samples influence each other
  The chip sees one sample at a time, so the batch axis is removed from every shape. Here an operator works along that
  axis, moves it away from the front of the result, or joins it with other axes in a way that cannot be undone; or a
  batch norm uses the statistics of the batch. The result would depend on which samples happen to be in one batch.
ND106 not a model file that can be read
  The file is empty, cut off, of a version that is not read, or of a kind that holds no network. Files that are read:
  .pt2, .onnx, program.h5, and those of other tools that 'neurodeploy doctor' lists, such as .net and .nir. Weights
  alone (.pt, .pth, .safetensors) do not say how they are connected: write a function that builds the module and loads
  them, and give py:package.module:function.
ND107 the model does not return one tensor
  The read-out accumulates one tensor over the ticks. The model returns several, none, or one that does not depend on
  its input. Wrap it in a module that returns the logits alone.
ND108 a tensor is changed in place and read again
  A graph has no memory within a tick: a value is computed once and never changes. The model overwrites a tensor and
  later reads it under its old name, which would silently give the old value. Use the form of the operator that
  returns a new tensor (add instead of add_, inplace=False). Or one write reads other elements of the memory that it
  writes, as in x[:, 1:] = x[:, :-1]: torch's own answer then depends on sizes and threads. Clone what is read.
ND109 a neuron without a counterpart
  The module is a spiking neuron of a known library, but with a reset, a surrogate or a parameter that none of the
  neuron models in neurodeploy/neurons reproduces exactly. Running a nearly equal one would change the network in
  silence. Retrain with supported parameters, or add the neuron: one file in neurodeploy/neurons and its entry in
  neurodeploy/frontends/leaves. Or it is a block of lava-dl's slayer with a setting that its own export leaves out, or
  with weights that are not quantised: what it would export is then not what it computes.
ND110 no such model
  The text names neither a model of the zoo nor a file. 'neurodeploy models' lists the zoo. Other forms: a file that
  torch.export.save wrote (.pt2), py:package.module:factory for a function without arguments that returns a torch
  module, or a build folder.
ND111 a Python factory that cannot be used
  py:package.module:factory imports the module (from the working folder too) and calls the factory without arguments.
  One of these steps raised an error, which is shown, or the result is no torch module.
ND112 a built program where a model is needed
  A build folder or program.h5 holds the integer network. Its float source is not stored, so that stages before
  mapping cannot start from it. Give the model from which it was built.
ND113 a model file that could execute code
  Files of torch (.pt2, .pt, .pth, .bin) can bring code along: pickles, TorchScript, compiled libraries, opaque objects,
  and text in a graph that torch turns into source code. Files are data here: torch never reads them itself. Pickles may
  spell tensors and plain containers and nothing else, a graph may only call operators of torch's own library, and what
  passed is written anew before torch sees it. This file fails. Export the model again, or save its state dict alone,
  from source that you trust.
ND114 raw pixel levels reach the model
  Images are whole pixel levels, such as 0 .. 255. A model from py:, .pt2 or .onnx sees level * scale + offset, and a
  scale of 1 unless another one is given. A model that was trained on 0 .. 1 then sees values far beyond those it knows,
  and its accuracy is lost without any error. Give the scale it was trained with, such as --set scale=0.0625 for digits
  of 16 levels. --set scale=1.0 says that raw levels are meant, and the warning goes.

ND130 an exception of the model's own
  The model was run once on a batch of zeros, and its own code raised an exception, by raise or assert. The message
  shows it with its line: what the model asks of its input, its author wrote there. Give other data with --data, another
  input_shape on the module, or set up the module in its factory as its own programs do.
ND131 a call that cannot be traced
  A graph is read from what the model does to a tensor that stands in for its input. The model runs, but one of its
  calls takes real numbers alone: a conversion to numpy or to a Python number, a library that is not torch's, a function
  compiled beforehand. The message shows line and call. Write it by functions of torch. A loop over ticks that cannot be
  written so is best left out: the body as the forward, and --timesteps. A network of another tool may come as a file
  that holds it, .nir or .net.
ND132 an input shape that is none
  Sizes are positive whole numbers without the batch, such as (3, 32, 32). They come from the data, or from input_shape
  on the module.
ND133 no input shape is known
  A module does not say on what it is run. Give data with --data, or set input_shape on the module, or input_tokens, the
  number of tokens, if it takes token ids.
ND134 a model with several inputs
  A network takes one image, or one text. Beside token ids an attention mask, token types and positions are made of
  these, where the module or the file calls them so; reader.padding is the token that the mask hides, and of a file
  that has no such names reader.inputs gives them. What else a model is given has to be made inside: wrap it in a
  module whose forward takes one tensor and makes the others from constants or from that one, and export the wrapper.
ND135 an input size that is left open
  An exported program may leave sizes of its input open. A chip has as many neurons as it has. Only the batch, the first
  axis, may stay open: export again without dynamic sizes for the others, with an example of the size that will be used.
  Open sizes of an .onnx file are those of the data that are given with --data.
ND136 token ids of another form
  Token ids are (batch, tokens). Set input_tokens on the module to the number of tokens of a text.
ND137 a text model that does not run on token ids alone
  Of a library's text models the module is called with input_ids, or with a mask of padding beside it. This one wants
  more, such as an image or the tokens of a decoder. What the library says is shown. Take the part of the model that
  reads one text, or wrap it in a py: module of your own.
ND138 a text that is longer than the model's positions
  The model has learned so many positions, and no more. Choose a shorter text: --set reader.tokens=N.
ND139 a model without a token for padding
  Shorter texts are filled up with the model's token for padding, which a mask hides. Its configuration names neither
  pad_token_id nor eos_token_id. Read texts of one length, --set reader.mask=false, or name one in the configuration.

ND140 the imported network does not compute what the model computes
  After every import the graph is run beside the model itself, at every tick and from rest, on samples of your data and
  on the corners of what its input may be. They differ. The message names the first node that does, with module path and
  line, and what was found when the model was watched: an attribute that a call changes (a state that the graph does not
  have), a neuron that is called more than once, an axis that is taken for time, random numbers, a branch in Python, a
  cast, a write in place, hooks, an answer that depends on the number of samples. Nothing was built. --no-import-check
  goes on with the graph as it is, and every number of the build says "import not checked".
ND141 a model that cannot be compared with what was imported
  The model ran while it was traced, but fails on other inputs that it has to take: several samples, one sample, later
  ticks, or values inside of the range of its input. Its own words are shown. A usual cause is a state that keeps the
  number of samples of an earlier call and has no reset().
ND142 the import was not compared with the model
  The comparison of the imported graph with the model was turned off by --no-import-check or import_check = false. What
  the trace of a model does not see (states, aliases, hooks, branches in Python) is then unknown, so every number of the
  build is marked "import not checked".

# file formats of whole networks (.net, .nir)
ND115 an optional library is not installed
  What is asked for needs a library that neurodeploy does not need otherwise: torch for networks in PyTorch, timm,
  transformers or torchvision for models of the form timm:NAME, hf:NAME and torchvision:NAME, and others for figures,
  recordings and clusters. The one named is absent, or does not work with the others installed here. Install the extra
  that the message names, 'pip install neurodeploy[torch]' say; 'neurodeploy doctor' lists all of them. Without torch,
  .net and .nir files, build folders and trained models of the zoo are built all the same.
ND116 weights that cannot be had from a hub
  The publisher's weights were asked for, and the library could not get them: there is no network, or no model of that
  name. Weights on this machine are read from .safetensors, .h5, .pt, .pth and .bin files, never unpickled, with --set
  reader.weights=FILE; a folder of Hugging Face is a model by itself. With --set reader.pretrained=false the network
  gets random weights of --set reader.seed=N, which is enough for 'check'.
ND117 a library cannot build the network
  The library does not know the name, or refuses the settings in reader.arguments. Its own words are shown. Names are
  those of the library, settings those of its constructor or config.
ND120 a reader option that is not understood
  Files of other tools are read with options, given as --set reader.KEY=VALUE or in the table [reader] of a config
  file. The key is not one of the format's, or its value has the wrong type or lies outside its range. docs/formats.md
  lists the options of each format.
ND121 a network file that is damaged or of another kind
  The file is empty, cut off, not HDF5, or HDF5 of something else: the root groups that the format demands are not
  there. Nothing was read. Copy or export it again.
ND122 a part of a network file is missing
  A group or dataset that the format demands at this place is not in the file, or a group stands where a dataset
  belongs. All missing parts are listed. Export the network again with the tool that made it.
ND123 a dataset or link that is not read
  Network files are not trusted. Links that leave the file or run in circles, data stored outside the file or computed
  on access, types other than plain numbers and short text, and sizes beyond what the file can hold are refused before
  anything is read. Store the values plainly.
ND124 a value outside what it may be
  A weight, bias, delay, threshold or decay is not finite, not a whole number where the chip needs one, or outside its
  width: weights have 8 bits, delays go to 62, decays to 4096. The message names group and dataset and the first
  offender. Quantise with the tool's own export, which writes whole numbers.
ND125 a block of a network file that cannot be imported
  The file holds a kind of block, node or neuron that has no exact counterpart in the graph, or an operator of ONNX that
  is not read, is none of ONNX's own, or has a body (If, Loop, Scan). Every such block is listed with its place. Replace
  it in the model by supported ones; docs/formats.md says what each format carries.
ND126 parts of a network file do not fit together
  The size that one layer yields is not the size that the next expects, a bias has another length than its layer, a
  declared shape differs from what kernel, stride and padding give, or edges form a loop that no delay breaks. Both
  numbers are shown.
ND127 something worth knowing about a network file
  The reader found something that is not wrong but may surprise: a value that the format's own tool ignores or
  changes, and that is ignored or changed in the same way here, so that the results stay the same. Nothing needs to be
  done.
ND150 a change of type changes the numbers
  A graph computes with real numbers, and torch would not: a cast of activations to whole numbers cuts their fractions
  off, one to bool compares them with zero, one to half precision or bfloat16 rounds them to three digits. The same is
  said by an argument such as sum(dtype=torch.int64). A cast to float32 or wider changes nothing, and the type in which
  the network's own weights are held is its precision, not an operator. Leave the numbers as they are, or round them by
  a quantiser (torch.fake_quantize_per_tensor_affine), which becomes a neuron.
ND151 the network draws random numbers when it is called
  A trace would keep the numbers of one call for ever. Seen at the operators that torch itself marks as random, and at
  the generators of Python and numpy, which are compared before and after. Draw the numbers once and keep them as a
  buffer; a dropout that stays active at inference is torch.nn.functional.dropout without training=self.training.
ND152 the number of samples in a batch enters the arithmetic
  The network was run with two and with three samples, and a number in its arithmetic differed, as in x / x.shape[0].
  The chip sees one sample at a time, so no such number exists there. Sizes in reshape, expand and the like are fine.
ND153 the forward of a neuron is replaced on its instance
  The module is a neuron of a known library, but calls another forward than its class has, so that its equation is not
  the library's. Hooks of neurons are called as torch calls them. Give the neuron a class of its own.
ND154 the network changes one of its own tensors when it is called
  A parameter or buffer holds other numbers after a call, such as a counter of calls or a running average: the second
  call computes something else than the first. A graph keeps state in its neurons alone.
ND155 a layer that torch has quantised
  Layers of torch.ao.nn.quantized hold packed integers in a form of one processor's library. That library rounds sums by
  its own arithmetic, so that some of its answers are a step off those of the weights and steps that can be read;
  dynamic quantisation finds its scale in the whole batch, so that a sample's answer depends on the others. Give the
  network from before its quantisation; or fake quantisers, whose steps are read exactly.
ND166 something that a network file leaves open
  NIR describes neurons by differential equations. The time step, whether a spike resets the voltage or takes the
  threshold off, when that happens and where voltages start stand in no field, and tools differ: a wrong guess changes
  many spikes. Where the file bears the marks of a known tool, that tool's conventions are used; what no mark
  tells is taken as stated here. Set the option that is named, or the tool, with --set reader.KEY=VALUE; what is set
  is no longer asked for. docs/formats.md has the table of tools.
ND167 an output population cannot reach its threshold
  Even the largest input that the proven bounds allow, at every tick, makes no neuron of the read-out fire within the
  ticks of an inference, so its spikes are all zero and the answer is always the first class. In files of other tools
  such a layer is meant to be read by its voltage: reader.readout of .net files, LI or I instead of LIF in .nir files.
  Otherwise run more ticks, or lower the threshold.
ND168 an output population never fired
  No neuron of a population that the read-out reads sent anything, on any sample of calibration and evaluation, so that
  all outputs are equal. It could fire, but these data do not make it. See ND167 for what helps; where the input is
  synthetic, give data with --data.
ND169 an accuracy that means nothing
  All test labels are the same, or the outputs of the network are: the same for all classes, or for all samples. What is
  correct is then the share of one class in the data, whatever the network does. The number is shown, marked as
  meaningless on console, page and in report.json.
ND171 levels outside the declared range reach a network inside a Lava program
  A process of neurodeploy.lava.network takes raw input levels, and widths were proven for the range of the build, such
  as 0 .. 255. Other levels are clipped to that range, so that nothing inside overflows; the first step at which that
  happens says so. Check what is connected to s_in, or build with data of the wider range.
ND172 a state that a backend does not show
  'run --record LAYER.VARIABLE' writes a state of a population, such as LAYER.v, as each tick leaves it. cpu and
  loihi-sim show all of them; Lava keeps the states of its processes to itself here. All backends
  compute the same integers: record with another one, or watch the variable with a Monitor in a program of your own.
ND173 floats that answer otherwise than the integers they were written from
  A .nir file holds floats, in which nothing is rounded: a change of unit, a state that is truncated toward zero and a
  message that saturates are exact there and not on a chip. An export runs the file as its reader would, beside the
  integers on samples of the build, and counts the values that differ. Here they are more than allowed. Read the file
  with neurodeploy, which finds the integers in it, export to a format of integers, or allow more with --differ.

# libraries of networks: images and texts as their library would show them
ND174 a parameter that differs from tick to tick
  A factor or an offset for each tick becomes a table with a row for each. Here something else differs: the weights of
  a layer, or what a loop over ticks does to its input before the first neuron. A core stores weights once, and a graph
  describes one tick. Run all ticks in one call, (T, batch, ...), and multiply them there; or train with one value for
  all ticks.
ND176 images are taken as they are, which the library would resize or crop
  A library prepares images before its network sees them. What it does to levels is part of the imported network; what
  it does to rows and columns is not, since images of a data set are taken as they are. An image of the network's own
  size would not stay as it is in the library: it is resized, and its middle is cut out. Prepare the images of the data
  set in the same way, from originals that are large enough, or accuracy is not the publisher's.
ND177 a preparation of images that the input of a network cannot say
  The library's own preparation was run on an image, and what it makes of raw levels is not one scale and one offset
  for each channel, or it cannot be read or run at all. A network that is given raw levels would see something else than
  it was trained on. Leave the file of the preparation out and give scale and offset, or bring the network with its
  preparation as py:package.module:factory.
ND178 nothing says how large the images of a model are, or how long its signals
  Neither preprocessor_config.json nor the config of the model names rows and columns, or names impossible ones. Give
  them: --set reader.image=224. An encoder of waveforms takes any number of samples, and one of features of any number
  of frames: --set reader.length=16000.
ND179 the model does not yield what is to be read of it
  What is read of a model of Hugging Face is one of its results: logits, what stands for a whole image or text, or the
  vectors of the tokens, of which the mean, the first or the last may be taken; or any results by their names. Of a
  user's own module they have names or numbers, of an exported program numbers. The model yields no such result, or its
  folder asks for a pooling that is not known. The message lists what there is.
ND180 padding that the model cannot hide
  With reader.mask=true texts of any length are filled up, and what fills them up must not change a text's result. The
  model was run with its own attention mask, and tokens behind the mask changed what it makes of the others; or it takes
  no mask. Use texts of one length: --set reader.mask=false.
ND181 a model of images and texts at once
  CLIP, SigLIP and their kin are two networks, of which each has its own input: --set reader.part=image or
  reader.part=text takes one of them, with its projection where the library has a class for that.
ND183 a model file with a value that is too large
  A .pt2 or .onnx file of a few kilobytes can ask for arrays of any size. No value that a network computes may have more
  elements than the limit says, by the shapes that torch itself finds for each operator. The message names the first
  that has. If the network is meant so, cut its input or its batch.
  Likewise the config.json of a folder of Hugging Face: the network that it describes is first built without memory,
  and may not need more than 1 GB, or eight times its file of weights.

# zoo: networks and weights
ND157 a memory of the model that no neuron holds
  What the model returns depends on an attribute or buffer that its own calls change, or on a value that a loop over
  ticks hands from one to the next, and that is no neuron we know.
  Found by running it are: linear recurrences (leaky read-outs, exponential averages, sums over ticks), neurons that
  charge, fire and reset to a value or by their threshold, whatever they are called, and connections to what was sent
  one tick earlier. Use one of these, or a neuron of docs/support.md.
ND158 first calls that differ from later ones
  The model was called a few times from rest beside the program that was traced, and the two differ. The trace is that
  of a call which finds its states in place. A state that begins at its first input, that is updated in some calls
  only, or that the code treats by its type, has another beginning. A graph begins at zero, or at one number.
ND159 one neuron called several times in a tick
  A neuron module is one population, whose state each call carries on. A model that calls it in two places hands the
  state of one layer to the other, which no population does. Give each place a module of its own.
ND156 a model that returns several values
  The first of them is taken for the read-out, as it is compared with the graph; the others are left out. Where the
  logits are another one, name it: --set reader.output=logits, or its number; several with commas between.
ND160 ticks of a loop that differ
  One call of the model runs all ticks in a loop. A graph describes one tick, so each has to compute the same from the
  input, or from its own frame of it, from its neurons, and from what was sent a tick before; outputs may be summed,
  stacked, averaged, or be those of the last tick. Here a tick computes something else than the others, or joins what
  several have computed. Write the body of the loop as the forward, and say with --timesteps how often it is called.
ND161 a neuron that takes a whole sample at once
  The neuron runs over the first axis of what it is given, as one of SpikingJelly does with step_mode "m". Here that
  axis is not time. An axis is time where it repeats the image once for each tick (repeat, expand, stack, cat, or a sum
  with zeros), or where the model is given (T, batch, ...) or (batch, T, ...). Or set step_mode "s" in all modules, and
  let the forward be one tick.
ND162 an operator works along time
  The model runs all ticks in one call, and an operator joins or mixes them before the end. Only neurons carry anything
  from one tick to the next. At the end the ticks are put together by their mean, their sum, or the last of them, and
  what comes behind that is linear: a layer of weights, a sum, another order of elements.
ND163 a neuron of single ticks is given all of them
  The neuron takes what it is given for one tick, and here that holds all ticks in an axis: they would charge it side by
  side as samples do. Set step_mode "m" in all modules, or call the model tick by tick.
ND164 a neuron takes ticks and samples in one axis for time
  The model flattens ticks and samples into one axis and gives that to a neuron that runs over it. With a batch, what is
  left of one sample charges the neuron for the next, in training too. What is built, and what is compared, is the
  answer to a sample alone, where that axis is time.
ND165 the state of a neuron is read
  Only the spikes of a neuron leave its core. The model computes something from a membrane, or hands a neuron a state
  that this neuron did not return a tick before. Return sums or means of spikes. Cells that keep no state themselves
  begin anew where they are handed none: run all ticks in one call, and hand on what they return.
ND175 blocks of slayer that the graph cannot put together
  The blocks of a network in lava-dl's slayer run over time by themselves. So they have to be a chain: each called once,
  on the very tensor that the block before it returned, the last one's being what the model returns; do anything else in
  front of the network, or after it. They also have to count in the same integers: spikes of CUBA and RF neurons are 0
  and 1, changes of sigma-delta neurons are multiples of 1/4096, and raw inputs are whole numbers of the unit that is
  named. A norm is a bias, which works while spikes wait: its block needs one behind it, or delay_shift=False, and no
  delays of single channels.
ND190 a network of the zoo cannot be built
  The model file names a module of the models folder, a class or function in it, and the arguments to call it with.
  One of the three does not fit: the module is missing, it has no such name, or it refuses the arguments (an unknown
  keyword, or sizes that do not divide). The text found is what the module itself says.
ND191 weights or modules of the zoo are missing
  The model file names a weights file that is not there or cannot be read, or the folder of the modules is not
  installed, or, without torch, the graph that ships of the model is absent. All of it comes with the package but for
  the largest weights: these lie in models/weights/apart of the repository and of the source archive, from where they
  are copied. Weights of your own entry are written by 'python models/train.py NAME', graphs by 'python models/ship.py
  NAME'.
ND192 damaged weights of the zoo
  The weights file is not a whole safetensors file, or its sha256 differs from the one that the model file records. A
  network with other weights than those whose accuracy was measured would make every number of the report wrong, so
  the build stops. Restore the file, or train again: training writes weights and hash together. Without torch, it is the
  shipped graph of the model whose sha256 differs from the one in models/graphs/index.json.
ND193 weights that do not fit the network
  A tensor of the network has no entry in the weights file, the file has a tensor that the network does not, or a
  shape differs. Usually the arguments in the model file were changed after training. Undo that, or train again.
ND195 weights of an unsupported type
  A tensor is complex, was quantised by torch, or holds integers where the network has floats. Reading it as floats
  would drop what its numbers mean in silence. Each such tensor is named. Store the weights as floats of 16, 32 or 64
  bits.
ND197 tensors that the checkpoint and the module do not share
  A checkpoint that is given to a py: model with --set reader.weights=FILE is loaded by the names of its tensors. Those
  for which the module has no place are left out: what is deployed is what the module computes. Tensors of the module
  that the file lacks keep the values that the module was made with, and are accepted only where no call of the module
  reads them; any other is ND193. All are named: published checkpoints hold parameters that no network reads.
ND194 NaN or infinite weights
  A weight that is not a finite number makes every output that depends on it meaningless, and no integer can stand for
  it. The training diverged, or the file was damaged. Train again with a lower learning rate.
ND196 a network of the zoo with random weights
  Networks of the zoo at the sizes of their papers come without trained weights: theirs are drawn from a seed, and
  their batch norms have seen noise, so that neurons fire. Counts of parameters, cores and dense operations are those of
  the trained network; spikes, energy and time depend on activity and are those of noise. There is no accuracy.

=== 2xx graph
ND201 Node and value tables disagree
  Every node of a graph yields exactly one value under the node's own name. A node without a value, or a value under
  another name, means that whoever made the graph (a pass, a frontend, a hand-written file) is broken. Nothing in a
  model causes this by itself.
ND202 A node reads something that is not there yet
  The nodes of a graph stand in topological order: a node may only read values of earlier nodes. A missing name, or a
  cycle, breaks this. Recurrence inside a tick has no meaning here; state lives inside neurons and delays.
ND203 A constant and its declared shape differ
  The array of a Const node must have exactly the axis sizes that the edge declares.
ND210 Unknown neuron model or operator
  The graph names a neuron or a non-spiking operator that no file of neurons/ or microcode/ provides. Install the
  package that provides it, or add the file.
ND211 Two temporal contracts meet
  An edge carries instant values (this tick only), rates (the mean over ticks counts) or differences. Adding or
  multiplying edges of different contracts gives a number that means nothing. Neurons of the same kind have to send
  both, or a conversion method has to choose one contract for both.
ND212 A source graph holds a timed node
  Before conversion a network has no ticks, so products and operators must not state a timing yet.
ND213 The timing of a product or operator is undecided
  The product of two rates is not the mean of the products of their ticks. Each product must state whether it uses
  both operands of one tick (instant), a captured operand (held) or running sums (cumulative); the conversion method
  decides.
ND220 A float remains at the integer level
  After quantization every number that takes part in arithmetic is an integer. A float left over would not run on the
  cores.
ND221 A mean at the integer level
  Cores add; they do not divide. A mean becomes a sum whose divisor is folded into the worth of a unit.
ND222 An edge without integer representation
  At the integer level every edge states its width, its sign and the interval its values stay in.
ND223 An interval exceeds its width
  The values that can occur on this edge do not fit its declared number of bits, so a core would wrap or saturate
  where the model does not expect it.
ND224 A neuron's input can leave its exact range
  Lava's LIF shifts its input left by 6 bits into 24: an input of magnitude 2^17 or more wraps once and is wrong from
  then on. The stream that feeds the neuron needs a coarser unit.
ND226 An operator that sums over ticks lies inside a recurrent loop
  Expectation compensation and held operands keep sums over all earlier ticks. Inside a loop of delayed synapses such
  a sum would feed itself; what it should mean there is not defined. Take the operator out of the loop, or choose the
  timing instant.
ND227 Parameters that differ from tick to tick do not fit the ticks
  A network that has a factor or an offset of its own for each tick means just those ticks. It runs as many as it was
  trained with, and none of its values is put together over ticks before.
ND228 The host computes more than a lookup
  A layer can be left to the host where it is a table of token ids: dense, without delays, behind nothing but the input
  and what rearranges it. Everything else is computed on cores. A graph that the mapper made never breaks the rule.
ND225 A synaptic sum does not fit its register
  The sum of |weight| x |payload| over a neuron's inputs can exceed the register that accumulates it. Fewer weight
  bits, fewer levels per spike or a smaller fan-in bring it back.

# shapes
ND204 a node whose shapes do not fit
  Each kind of node has one rule that says what shape it yields from the shapes of its inputs. Here the rule gives
  another shape than the graph declares, or the inputs cannot be combined at all. A graph that a front end or a pass
  of this package made never breaks the rule; an artifact that was edited by hand may.
ND230 a node that the export format cannot express
  Formats of other tools carry fewer kinds of node, neuron models or numbers than the graph does. An export is exact
  or refused, so every node that has no counterpart is listed with what the format could hold instead. docs/formats.md
  says what each format carries.

=== 3xx convert
ND301 Nothing to keep: the network has no spiking neuron
  --method native takes a network that was trained with spiking neurons as it is. This one has none; --method ecmt
  converts an ANN.
ND302 Unknown preset
  Each conversion method has named presets; this is not one of them.
ND303 A key of the conversion method is wrong
  The [convert] table (or --set convert.KEY=VALUE) holds a key the method does not know, or a value out of its range.
ND304 The network already spikes
  ANN-to-SNN conversion puts neurons into a network that has none. A natively spiking network is built with --method
  native.
ND305 Conversion would change nothing
  No dense layer or product of the network would be driven by spikes, so the result would be the ANN again. A
  conversion that inserts no neuron is refused rather than reported as a spiking network. The first layer reads the
  input itself, and the last one, the read-out, takes activations as numbers: a network of these two alone has no place
  for a neuron. Add a layer between them, or put neurons into the network and use --method native.
ND306 Calibration met NaN or infinite activations
  The float network yields values that are not finite on the calibration samples, so no threshold can be taken from
  them. Check the weights and the input normalisation.

# methods by name
ND307 unknown conversion method
  Every method is a file in neurodeploy/convert or an installed entry point of the same name. The nearest known names
  are offered. A model of the zoo names the method that suits it; --method overrides it.
ND308 a conversion of a file that holds integers
  A .net file holds the weights, biases and thresholds of a chip as whole numbers, and the build keeps every one of
  them. So there is nothing to convert and nothing to quantise: a conversion method, its options, other weight bits or
  rules per layer would change the network that the file describes. Leave them out, or quantise differently in the
  tool that wrote the file.
ND309 unknown encoder
  Every encoder of still inputs is a file in neurodeploy/encoders or an installed entry point of the same name. The
  nearest known names are offered; none turns the encoder of a model of the zoo off.
ND310 an encoder does not apply
  An encoder puts neurons between a still input and a spiking network: they send its levels as spikes over the ticks.
  It needs a network with neurons whose input is 0 where nothing is, not token ids and not integers of a file. A
  network without neurons is converted (--method) and takes its input as it is.
ND311 no setting of a conversion method can be tried
  --method auto tries settings that methods name, at 1, 2 or 4 ticks, calibrated on half of the samples and judged on
  the other half. With --timesteps it tries those of that many ticks alone, and here are none, or there are fewer than
  two samples.
ND312 no setting keeps the answers
  --method auto stops at the first setting that changes no more answers than --max-loss allows. None did, so the one
  that changed the fewest was taken. Answers to few samples are a coarse measure: one of 16 is 6 percent.

=== 4xx quantize
ND402 Weights of this width cannot be stored
  Loihi-class synapse memory stores signed weights of up to 8 bits, and a sign alone needs two. Choose --weight-bits,
  or the weight_bits of a [layers.PATTERN] rule, between 2 and 8.
ND401 A node has no integer form
  The node's parameters cannot be expressed in the widths of the integer level; the cause says which number is out of
  range and where.
ND450 A softmax row is masked everywhere
  Masked entries of a softmax are exactly zero and the rest of the row sums to one; a row without an unmasked entry
  has no such result (torch returns NaN). Unmask at least one entry of the row, such as the token itself.

=== 5xx mapping
ND501 a layer does not fit a core
  The mapper cuts every layer along its axes (tokens, heads, channels, rows, columns) into pieces for single cores. No
  cut that was tried keeps within the limit named here; the number found is what the fullest core of the least
  overfull cut would need. What cannot be cut sets the floor: the row of a norm or a softmax, with all weights onto
  it, where it cannot be computed in parts either: its elements do not fit a message, or tokens take turns. Store
  fewer weight bits, narrow the layer, or use fewer timesteps where state or waiting messages take the room.
ND502 more cores are needed than there are
  Each piece of a layer takes a core; where too few are left, several pieces share one as far as the limits allow. The
  network still needs more cores than the system has. The first fix names the number of chips that suffices, if the
  target can have that many. Mapping continues, so the report shows which layers take most.
ND503 weights need more bits than a synapse stores
  Weights are stored with the smallest width of the target that holds them, sign included, after a power of two that
  all of them share has been divided out. These weights are wider than the widest. Quantize them to fewer bits.
ND504 a message is wider than a spike carries
  What travels between cores is a signed integer of limited width. The bounds of this value, proven from the weights
  or measured, exceed it. A value that no neuron has turned into spikes, such as a membrane current that waits for a
  residual sum, is sent as it is; rescale it, or let a neuron send it.
ND505 the chip has binary spikes only
  The value takes more than the two values 0 and 1, and the chip's spikes carry no number. Networks converted with
  multi-level neurons, ternary spikes and analog inputs need graded spikes.
ND506 the chip runs no programs
  This neuron model or operator needs microcode: its dynamics differ from the neuron that the chip has built in. Only
  networks of that neuron can run there.
ND507 the chip cannot multiply two streams
  Attention multiplies two spike streams with each other. The chip multiplies spikes with stored weights only.
ND508 a branch has to wait longer than a delay lasts
  Where branches of different depth meet, the shorter one is delayed until both show the same tick. The chip's longest
  delay is shorter than the difference. Balancing with that limit makes a chain of delays, each of which is a
  population of its own.
ND509 a neuron needs more state than the chip gives one
  Operators that follow each other element by element are one neuron, and their state adds up: a compensated norm
  keeps two 32-bit sums, a neuron its potential, a delay one message per step. The chip gives a neuron only so many
  64-bit words.
ND510 branches of the graph do not meet at the same step
  Every synapse and product takes one hardware step. A value that reaches a sum, product or concatenation early would
  be added to a value of another tick. The pass 'balance' inserts the delays; the mapper takes balanced graphs only,
  because the images and the cost count those delays.
ND511 the chip lacks what an operator needs
  Norms and softmax read a whole row of neurons, and most operators look values up in a table. The target file says
  that this chip cannot do one of these, and who says so.
ND512 a connection has no sender
  Everything that this synapse, product or sum reads is constant. It would do the same at every tick, yet no core
  sends it anything. Fold it into a constant before mapping.
ND513 a synaptic sum could leave its register
  The bound adds up the magnitudes of all weights of a neuron times the largest message, which no real input reaches;
  the register of the chip is narrower than that bound. The simulators are exact either way and the network runs; on
  silicon such an input would wrap around. Fewer weight bits or fewer levels remove the doubt.
ND514 unknown objective
  The mapper makes one thing small: 'cores' (the fewest), 'energy' and 'latency' of one inference, 'edp' (their
  product), 'throughput' (the time between two results of a pipeline), all as expected from calibration by the prices
  of the target, or another member of the folder mapping/objectives.
ND515 a recurrent loop takes more steps than its delay allows
  Every connection between populations takes one step, so a spike that goes round a loop of n connections is back n
  steps later. The network says after how many ticks it has to be there. Where that is less, no schedule exists: raise
  the delay of the recurrent connection, or shorten the loop.
ND516 unknown placement method
  Which cores share a chip, and where each of them lies on its mesh, is decided by a member of the folder
  mapping/placements. The key 'placement' of the config names another than the usual one.
ND517 a neuron has more synapses than the chip gives one
  All connections that leave one neuron, to whatever layers, are counted against limits.fan_out of the target. A cut
  does not help, since the connections stay. Shrink the layers that read this one.
ND518 a neuron's state is wider than the chip keeps
  The integer step of every neuron model says how wide each state variable is. This chip's variables are narrower
  (limits.state_bits), so the model would saturate or wrap earlier there. The widths are the same for every target, so
  that its integers are.
ND519 a program is written for wider registers
  Operators and neurons that are programs use registers of 32 bits and products of 64 bits before their shift; a
  product of two streams uses the width of its sum and of its operands. The chip's are narrower (limits.register_bits,
  limits.multiply_bits).
ND520 a synaptic sum left its register
  A sum that really occurred, in calibration or on test samples, is larger than the register of the chip holds
  (limits.accumulator_bits): on silicon it would wrap around. Where only a proven bound exceeds the register, ND513 is
  a warning instead.
ND521 not a mapping file that can be used
  A mapping file is TOML: for each layer, by name or shell wildcard, a table [layer."NAME"] with its layout, the cores
  of its tiles, or both, and nothing else. The file cannot be read, is too long, or a key or value of it is not one of
  these. mapping.toml in the folder of any build is such a file.
ND522 a mapping file names what is not there
  Layers are the population groups of the mapped network, as the column 'group' of layers.csv names them; the axes of a
  layer are those that its layout shows there. The file names another layer, a wildcard that no layer matches, another
  axis, or a layout that no member of mapping/layouts has for this layer. The nearest names are offered.
ND523 a layer cannot be cut as the mapping file says
  The layout of a layer is the number of parts of each axis, from 1 to the length of the axis. Parts are of one size and
  the last may be smaller, so that some numbers do not exist: ten channels in parts of two are five parts, and six parts
  cannot be made. A list gives the sizes instead, and has to add up. Limits of a core are another matter: what breaks
  one is ND501. Where tokens take turns, the parts along them are the copies of the layer, and layers between two
  mixtures of tokens have as many copies: layers of one such segment say different numbers.
ND524 cores of a mapping file that cannot be given
  Each tile of a layer takes a core, written chip:core, in the order of the tiles' first elements. There have to be as
  many cores as tiles, so a layout has to be given too; all of them on the chips that the target has; and none twice in
  one layer, unless the layer says shared = true. Several layers may name the same core and then share its limits.
ND525 more cores than the user allows
  With --max-cores the mapper spreads the network over no more cores, and lets small layers share them if need be. The
  network needs more even so. The fix names how many.
ND526 no mapping is as fast as the user asks for
  With --max-latency the mapper takes the cheapest mapping, under its objective, whose expected latency keeps within the
  bound. None of those that it tried does; the number found is the latency of the fastest. Expected latencies come from
  the activity that calibration has seen and nominal coefficients, and differ by some per cent from what the report
  counts. Allow more time, more cores or more chips.
ND527 tokens that cannot take turns
  With --streams, or copies in a mapping file, a few copies of each layer compute the tokens one after the other. That
  needs a token axis (dense layers over it, or a convolution whose windows are the tokens), as many elements in every
  token, Views that show every token in the same way, and connections without delays in ticks. A layer where positions
  of an image mix stays in space, and its tokens are kept for the layers behind it. Where a constant mask hides scores,
  each index of it is one token. What is named here breaks one of these rules.
ND528 a network of which too much would have to be counted
  A sample of cores is executed of a network that is too large to simulate whole, and what all cores do in all steps is
  counted from mapping and values, for one sample at a time at least. Here even those counts are more than memory holds.
  The sample of cores is executed and compared all the same; nothing is priced, and the only costs are those that the
  mapper expects. Tokens in space take fewer steps than tokens in turn.
ND529 the host is to compute something else than a lookup
  With --lookups host, or layout = "host" in a mapping file, the host looks tables of token ids up and sends what is in
  their rows: embeddings of words, masks of padding. That needs a network that takes texts, and a layer that ids alone
  spike into. All other layers belong to cores. The names of the tables there are stand in the message.

=== 58x memory images
ND580 a memory image is inconsistent
  Every index in a core's memory image has to stay inside the table it points into: rows inside synapse memory, items
  inside their axon's connection, gathers inside the vectors they read. One does not, so the image was damaged or
  written by something else, and running it would read foreign memory. The message names core, table and entry. Build
  the artifact again.
ND581 a memory image is malformed
  A table or record of a core's memory image is missing, has another type or shape than the format says, or is of
  another format version. The artifact is damaged or comes from another version of neurodeploy. Build it again with
  this version.
ND582 synapse memory cannot be decoded
  Each row of synapse memory begins with a header that repeats its number of entries, and entries of dense and sparse
  lists carry the index of their target. A header or an index contradicts the tables of the core, so its words are
  damaged. Build the artifact again.
ND583 an element is not where it is needed
  A core reads an element of a value that no core computes, or that is computed by another core although only messages
  can cross between cores (Synapse, Product, Reduce and Delay receive them), or a row operator has only part of a row.
  This is a fault of the mapping: map the network again, and report it if it persists.
ND584 the mapping and the graph disagree about depth
  Where branches meet, their values must have been on the way for the same number of steps; Delay nodes make up the
  difference. The graph was not balanced before it was mapped, or was changed afterwards. Run the balance pass, then
  map again.
ND585 something has no encoding in a memory image
  Weights are wider than any weight code of the target (after dividing out their common power of two), or a product
  uses one index twice inside an operand. Quantize to fewer weight bits, or rewrite the product.
ND586 a route leads nowhere
  An entry of an output axon table names a core that has no image, or an axon or channel that the core does not have.
  On a chip such a packet would vanish or hit foreign memory. The artifact is damaged: build again.

=== 6xx simulate and verify

# inputs of a run, comparisons of runs
ND601 the input has the wrong shape
  A run takes raw samples as one array, samples first and then exactly the shape of the network's input (for an image:
  channels, height, width). A network that takes a frame for each tick, such as those of .net files, wants the ticks
  between: (samples, T, ...). Nothing is resized or repeated. The shape stands in the message.
ND603 the input leaves the range that the network was built for
  Widths of the integer network were proven from the range of its input values, such as 0 .. 255 for pixels. Values
  beyond it could overflow a register that the proof shows to be wide enough, so they are refused rather than clipped.
  Check the scaling of the data, or build again with data of the wider range.
ND651 a result depends on the samples before it
  State of every neuron and operator starts anew with each sample, so the order of samples must not change a single
  integer. Here a backend gave another value for the same sample when the samples ran in reverse order: something was
  left over from the sample before. This is a bug in the backend; its results are void.

# a build's own
ND602 values were clipped to their width
  While the samples ran, some integers left the range of their declared width and were set to its end. Every such
  event is counted; a few in a million rarely change a class. The cause is calibration on samples that are too few or
  too unlike those that run: raise --calib, or give data with --data where synthetic input was calibrated on. In a
  file that holds integers the widths are the file's own. The table of layers shows where it happens.
ND680 the spiking network loses answers of the float model
  On the test samples the spiking network is right more than 5 points less often than the network it was made from. Few
  ticks are the usual cause: what rates or counts can say in T ticks is coarse. The message names what the method has to
  offer. Natively trained networks keep their answers; where they do not, the number of ticks is not that of training.
ND681 the integers lose answers of the float network
  The integer network is right more than 5 points less often than the same network in floats. Weights of few bits,
  ranges from too few samples, or values clipped to their width (ND602) are the usual causes; the column sqnr_db of
  layers.csv shows where the noise enters.
ND682 read-outs unlike those of the float model
  Without labels the read-outs are compared: the mean cosine between those of a level and those of the float model is
  below 0.95. Answers made from them, such as the nearest text, will often be others.
ND683 quantisation noise drowns the read-out
  The signal to noise ratio of the layer that is read, integers against floats, is below 15 dB. The message names the
  first layer, in the order of computation, that falls below. One unit is shared by all channels of an activation:
  channels of very different size leave the small ones no bits, where layers cannot pass the factor on.
ND684 images unlike those of the float model
  A network that answers with images is compared with its float model over the whole test split: the peak signal to
  noise ratio is below 30 dB. More ticks or counts bring spiking images nearer, wider weights the integer ones.
ND606 an input that is not made of whole pixel levels
  Networks take raw integer levels, such as 0 .. 255, because that is what reaches a chip. Scaling to 0 .. 1 is part
  of the network. Multiply by the number of levels and round.
ND607 an input with another number of ticks than the build
  The number of ticks T is part of a built network: widths, memory images and latency were made for it. The network
  takes a frame for each tick, and this input has more or fewer frames. Build again with --timesteps, or cut or pad
  the input; silence is frames of zeros.
ND650 two executions that should agree differ
  The interpreter is the meaning of the network, and every backend must yield the same integer at every node, tick and
  index. The place shown is the first one where they do not. This is a bug in a backend or in the mapping, never a
  matter of tolerance: numbers of this build must not be trusted.

# runs from memory images
ND608 a network that cannot go on where it was
  A stream that is given piece by piece (neurodeploy.Session, run --state) goes on from the states of populations. This
  network remembers more: running sums of expectation compensation, held operands, what was sent ticks ago, or which
  tick it is. Give it all ticks in one run.
ND609 a state that is none of this network
  A state belongs to the integer graph whose populations have left it, by hash, name, shape and width: in any other it
  would mean nothing. A network that was built again with other weights is another one. Begin a new stream.
ND610 a program without memory images cannot run on simulated cores
  loihi-sim runs from the memory images of the cores and of the host, which mapping writes. Map the program first; an
  unmapped one runs on the cpu backend.
ND611 a value that no core holds cannot be recorded
  The name is not that of a node of the mapped network. Balancing adds Delay nodes, passes may rename or remove nodes:
  list the nodes of the artifact's own graph.
ND612 a memory image names an unknown neuron model or operator
  Images name neuron models and operators by their registered names. This one is not installed here: install the
  package that provides it, or build again without it.
ND613 an instruction of a memory image cannot be carried out
  The parameters, tables or sizes of an instruction do not fit each other, so the registered operator refused them.
  The artifact is damaged, or comes from a version whose operator had other parameters. Build it again.
ND614 the engine works without machine code
  numba is not installed, so the cpu backend computes every node by numpy, and placements search less. All integers are
  the same; networks run several times slower, natively spiking ones most of all. Install neurodeploy[fast].

# SANA-FE
ND620 a network too large for SANA-FE
  SANA-FE keeps every synapse apart, also where a core of ours shares one kernel between positions or one matrix
  between tokens, and takes about 2 kB for each, reading the file included. That exceeds the limit. Choose layers with
  --layers (patterns of node names; senders outside them only replay their spikes), or raise --memory where the
  machine has more. Fewer samples make spike trains shorter, not the network smaller.
ND652 SANA-FE and the simulated cores count differently
  Both are given the same spikes, connections and coefficients. What they ought to count differently is known (spikes
  of the host, messages that meet no weight, messages that SANA-FE merges) and shown in the table. A difference beyond
  that, or an energy that is not events x coefficients, means that the export is wrong or that this version of SANA-FE
  computes otherwise. The comparison must not be used.

=== 7xx backend

# which backend
ND701 a backend that cannot be used here
  The backend needs a library, a Python version or a machine that is not here; the reason is its own. 'neurodeploy
  doctor' lists all backends with theirs.
ND702 unknown backend
  Every backend is a file in neurodeploy/backends or an installed entry point of the same name. 'neurodeploy doctor'
  lists them; the nearest names are offered.
ND703 a name that is no backend here
  A backend runs a built network. Formats of other tools, such as netx, nir and sanafe, are not run but written:
  'neurodeploy export DIR --to NAME --out PATH' does that. The built program.h5 stays valid: it holds the integer
  network and its mapping, and runs on the backends that 'neurodeploy doctor' lists. Another package can add a backend
  as an entry point.
ND704 unknown export format
  Every format is a folder in neurodeploy/formats or an installed entry point of the same name. 'neurodeploy doctor'
  lists them; the nearest names are offered.
ND705 an export format that cannot be written here
  The exporter needs a library that is not here; the reason is its own. 'neurodeploy doctor' lists all export formats
  with theirs.
ND706 a cluster that cannot be used
  `evaluate --scheduler ADDRESS` hands batches to the workers of a dask.distributed scheduler. Its library is missing
  here (the extra `cluster`), it does not answer at that address, it has no workers, or a worker does not have this
  version of neurodeploy. Versions must agree, since other code may count otherwise.
ND707 workers end before they have answered
  A batch whose worker is lost goes to another one, and nothing is lost with it. This batch lost several in a row: it is
  likely that workers lack the memory for it and are killed by the system. Use fewer processes, or larger machines.
ND720 SANA-FE is not installed
  'neurodeploy crosscheck' runs SANA-FE, which is licensed under the GPL and no part of this project, as a process of
  its own. The interpreter named by --python, else by the variable NEURODEPLOY_SANAFE_PYTHON, else the one that runs
  neurodeploy, could not import it. Any Python environment with the package sanafe will do.
ND721 SANA-FE did not return a usable result
  The process ended with an error, took longer than --time-limit, or wrote a result file that is not what was asked
  for. It was stopped, and nothing of it is left running. The last line it printed is shown. The same files can be
  written with 'neurodeploy export DIR --to sanafe' and tried by hand.
ND740 a Lava process failed
  A process of the network raised an error, or was killed, while the network ran in Lava. Lava itself would wait for
  ever, so the run was watched from outside and ended; no process and no shared memory is left. The message names the
  process and what it raised. An error that has a code of its own is reported under that one.
ND741 a Lava run that does not move
  The network did not complete a step for minutes, so the run was ended and everything of it removed. A machine short
  of memory is the usual cause: every process of the network is a process of the system.
ND742 one Lava process per core, and no cores
  With --granularity core every mapped core becomes one process, so the program must be mapped and fit its target. One
  process per layer needs no mapping.
ND743 unknown granularity
  Only a backend of processes can be asked for one process per layer or per core: lava.
ND744 a message outgrew its width in a process of Lava
  Sigma-delta processes of Lava do not saturate what they send, the network's populations do. On these inputs a value
  left the declared width, so Lava's result would not be the network's. Give the population more message bits, or run
  it on the cpu backend, which saturates and counts.
ND745 the environment for Lava cannot be made
  `neurodeploy lava setup` makes an environment of Python 3.10 with lava-nc beside the cache, by uv. uv is not here,
  could not fetch what it needs, or what it made cannot import Lava. NEURODEPLOY_LAVA_PYTHON names another interpreter.
ND746 a backend that begins every sample at rest
  Processes of Lava reset their states at the first tick of each sample, so a stream cannot go on in a later run. The
  cpu backend and loihi-sim load their populations with the states that another run has left, on either of them.

=== 8xx cost and report
ND801 two accounts of the same events disagree
  The simulated cores count every event twice: for the core it happens on and for the node it belongs to. Both must
  give the same sums, or the energy by layer and the energy by core would not add up to the same total. This is a
  fault of the backend that counted, never of the network; please report it with the build folder.
ND802 no cost without a mapping
  Energy and latency on cores need to know which core does what. Run the map stage first, or look at the metrics that
  need no cores: operation counts, the ANN baseline and the paper metric.
ND810 no report in this folder
  'report' and 'diff' read report.json of a build folder. The folder has none: the build stopped before its last
  stage, or it is not the folder of a build. 'neurodeploy build' prints the folder it writes to.
ND811 a damaged report
  report.json is cut off or was edited into something that is not JSON. Files of a report are written whole or not at
  all, so this happened later. Run the build again: finished stages are taken from the folder.
ND812 a report of another schema version
  The layout of report.json carries a version number, and this version of neurodeploy reads only its own: a key that
  has changed its meaning must not be shown under its old name. Run the build again with this version, or read the
  file with the version that wrote it (see its reproducibility block).

=== 9xx environment, usage, data

# command line, disk, config
ND900 wrong command, flag or value on the command line
  The command line could not be understood. The nearest known command or flag is offered where there is one; every
  command explains its flags with --help.
ND901 no space left
  The disk or the quota is full. Files are written under a temporary name and moved into place when they are whole, so
  nothing half-written is left, and an earlier build in the same folder is untouched.
ND902 a place that cannot be written
  The output folder is a file, is read-only, or belongs to somebody else. Choose another one with --out.
ND903 a file operation failed
  The operating system refused to read or write a file for the reason shown.
ND904 unknown key or wrong value in a config
  The schema of a build config is closed: an unknown key would be ignored in silence, and what it was meant to change
  would not change. The nearest known keys are offered. build.toml of any build shows every key.
ND905 unknown layer name
  A rule or a recording names a layer that the network does not have. Rules are globs such as 'blocks.*.fc1' over node
  names and module paths; a rule that matches nothing is refused, because it would have no effect. layers.csv of a
  build lists all names.
ND906 unusable config file
  The file given with --config is missing, is not UTF-8 text or is not TOML; the parser's complaint says where.

# names of data sets and models, model files
ND907 unknown data set
  The text is neither the name of a data set that needs no file (such as 'digits') nor a path to one. A path is
  recognised by a slash, a backslash or a dot in it, or because it exists. The nearest known names are offered.
ND908 unknown model of the zoo
  'neurodeploy models' lists the models that come with the package. Each one is a TOML file in the models folder; the
  nearest names are offered.
ND909 a model file of the zoo is wrong
  The schema of model files is closed: an unknown key would be ignored in silence, and what it was meant to change
  would not change. The message names the key and the nearest known ones, or the value and what is expected there. A
  file that is not TOML at all is reported with the line at which reading stopped.

# members, inputs, samples
ND930 a broken member of a room
  Every file of the rooms that are discovered (neurons, microcode, convert, backends, formats, datasets,
  frontends/libraries, frontends/leaves, and objectives, layouts and placements of mapping) binds MEMBER to an
  instance of the room's interface; files of frontends/ops declare theirs. This one does not, lacks a
  piece, cannot be imported, or has the name of another. The message names the file or entry point and what is wrong
  with it. All other members work; 'neurodeploy doctor' lists the broken ones.
ND931 unusable input file
  'run' reads one plain numpy array of whole numbers. Archives and arrays of Python objects are refused: reading
  objects would execute a pickle, which is never done.
ND932 no data set for this model
  Calibration needs training images and accuracy needs test images. Models of the zoo name their data set; for other
  models give one with --data. Files of other tools (.net, .nir) need none if they declare the range of their input:
  without data the build draws synthetic input in that range, and says so beside every number that depends on it.
ND933 data that does not fit the network
  The images have another shape or more ticks than the network's input, levels beyond the range that it declares, or
  more classes than it has outputs. Nothing is resized, cut or clipped, because that would change every number in
  silence.
ND934 out of memory
  The machine has less free memory than the work needs. Use fewer samples (--eval, --verify, --calib) or a larger
  machine.
ND937 a tokenizer that does not fit the network
  Every id that the tokenizer can give needs a row of the network's embedding, special and added tokens included, and
  a network that hides padding must hide the token that the tokenizer fills texts up with. The message names the
  layer, the tokens and the number of rows. Give the tokenizer that the model was trained with; one that was extended
  later needs a model whose embedding was extended with it.
ND938 texts that a network cannot take
  The number of tokens is fixed when a model is imported. Longer texts are cut. Shorter ones are filled up where the
  network hides padding from attention; where it does not, they are left out and counted, as are texts of the test
  that equal one of training once they are cut. Let the network hide padding (reader.mask=true for hf: models), import
  it with fewer tokens, or give longer texts. It is an error where no text is left to calibrate or to test on, and for
  every short text that is to be run.
ND935 the data of a built network cannot be found
  'verify' reads test images from the data that the network was built on, by the name or path that was given to
  'build'; a relative path is looked for from the working folder. Give where the data lies now with --data.
ND936 other data than the network was built on
  Under the name or path that was given to 'build' lies another content: its hash is not the recorded one. Give the
  right data with --data. Any data whose images fit will do there: that executions agree is true of all.
ND939 checked without the model's data
  The data set that the model of the zoo names is not at that place. 'check' needs no images, only the range of the
  pixels; it takes that from the scale of the model's input. Give the data with --data, and the range is read from
  them. 'build' does need them.

# data files
ND920 no such data file
  Nothing lies at the path, a batch that the format requires is missing from its folder, or the operating system
  refuses to read it (permissions, a name that is too long, a failing disk): the text found says which.
ND921 an empty data file or split
  The file has no bytes, or one of its splits holds no image. Calibration needs training images and every accuracy
  needs test images, so both splits must hold at least one. A recording of a camera holds at least one event.
ND922 a truncated or damaged data file
  The file ends early, or its parts contradict each other: offsets beyond the end, a stream that is not a whole image,
  a checksum that fails. Usually a download or a copy was cut off; fetch the file again.
ND923 a data file of a foreign layout
  The file can be read but holds something other than labelled images in a layout that is known here, or its content
  is not what its name says. The limit says what was looked for. Arrays of Python objects belong here as well: reading
  them would mean executing a pickle, which is never done.
ND924 images of the wrong shape or value range
  All images of a data set have one shape, with 1 or 3 channels, and whole pixel values from 0 to the number of
  levels. Images of another size, pixels stored as fractions and values outside the range are refused rather than
  resized, scaled or clipped, because each would change the measured accuracy in silence.
  Of recordings: events are whole numbers t, x, y and a polarity of two values, all within the sensor, whose rows and
  columns the files say, or --set loader.size=[rows,columns].
ND925 labels that do not fit
  Each image has one integer label from 0 to the number of classes minus one. There are more or fewer labels than
  images, a label lies outside that range, or a class of the test images has no training images.
ND926 images of several modes become one
  All images of a data set have the same number of channels: it is grey where every image is, else RGB. Grey images
  then become three equal channels, those with a palette the colours that it names, and an alpha channel that hides
  nothing is left out. None of this changes a colour, but a data set of several modes is often two data sets by mistake.
  What would lose something (16 bits, CMYK, transparency, frames) is refused with ND924.
ND927 the images of the digits are missing or damaged
  The data set digits ships with the package as one file, whose hash is known. The file is absent, or holds something
  else. Install neurodeploy again, or in a checkout run 'python models/ship.py'.
ND929 a tokenizer that cannot be read
  Texts become token ids by a tokenizer: tokenizer.json, or a folder that holds it or the files of an older one such
  as vocab.txt. A local folder of Hugging Face brings its own; any other is named with '--set
  reader.tokenizer=FOLDER'. Nothing is unpickled and no code that comes with it is run.
ND928 pickled data
  The Python version of CIFAR-10 is a set of pickles. Reading a pickle executes code that its author chose, so it is
  refused. The authors of the data set also publish a binary version with the same images.

# artifacts
ND940 no such artifact
  There is no program.h5 at the path, or it is empty. 'build' writes one into its output folder.
ND941 a truncated or damaged artifact
  The file is not HDF5, or it ends early. Usually a copy was cut off: copy it again or build again.
ND942 an HDF5 file of another program
  The file can be read but is no artifact of neurodeploy: the header or a known section is missing.
ND943 an artifact of another schema version
  The layout of artifacts changed between the versions that wrote and read it. build.toml in the same folder builds it
  again.
ND944 an artifact that was changed
  The hash over all datasets differs from the one in the header: a bit was flipped, or somebody edited the file.
  Nothing in it is trusted. Build again.
ND945 a part of the artifact is missing
  A section or dataset that the artifact refers to is not there. The message names its path inside the file.
ND946 an unusable dataset in an artifact
  Artifacts hold plain, contiguous datasets of integers and floats of the size they declare, reached by hard links.
  Links to other files, Python objects, virtual or compressed datasets and impossible sizes are refused before
  anything is allocated.
ND947 unexpected content in an artifact
  A section names a kind that does not exist, or a field is missing, unknown or of another type than declared.
  Artifacts are data: nothing in them can name code.
ND948 an inconsistent graph in an artifact
  The graph can be read but breaks the rules of its level: shapes that do not fit, unknown neuron models or operators,
  floats among integers, intervals beyond their width.
ND949 the artifact ends before this stage
  The build was stopped early with --to, or the network did not fit, so the artifact lacks the integer graph or the
  memory images that are asked for.
ND951 an object in memory that cannot be used
  The functions of the package take a torch module where the command line takes a MODEL, and arrays (x, y), a pair of
  training and test data, a data set or loader of torch, or texts where it takes data. Anything else is refused, and so
  are samples without labels, numbers that are not finite and shapes that differ. Larger data belong in a file.
ND952 what was handed over in memory is not here
  A module or data in memory are kept as files under a hash of their content: in the cache folder, and in the folder of
  the build. Neither holds the one that is named, or its content has changed. Replay the build from its folder, which
  holds a copy, or hand the object over again.
ND953 what the data say of themselves
  A numpy archive may hold a note, which is shown with every build on it. Floats that were handed over in memory and lay
  on no grid of 256 levels say there how far from them they were.
ND970 a build that was stopped while it was put in its place
  A finished build is moved into its folder as one journal, and its files then take their places one by one. Somebody
  was killed in between, and what was left to do cannot be done here: the folder may not be written, or the journal is
  damaged. Until then its files are of two builds, so none is read. Every command that may write the folder goes on
  where the killed one stopped.


# the program itself, and the parts of a build folder
ND960 an internal error
  The program met something that nobody foresaw: a bug of its own. The text found names the exception, '-v' shows the
  whole traceback, and where a build was under way a log lies beside its folder. The folder stays as it was.
ND961 interrupted
  The command was ended by Ctrl-C or SIGTERM. Files are written whole or not at all, so nothing half-written is left.
ND962 the program was asked to end
  Code that ran inside the command, usually the module of a model in py: form or a library that it imports, called
  sys.exit. Nothing was computed. Remove the call, or guard it with 'if __name__ == "__main__"'.
ND963 parts of different builds in one folder
  repro.json of a build folder records hashes of the graphs, of program.h5, of build.toml and of report.json. One of
  them is another: the file was edited or copied from another build, or a build was cut off while it was published.
  What the report says would not be what the program does, so neither is used. Build again.
ND964 an unusable record of a build
  repro.json in a build folder is damaged, so that nothing tells whether the parts of the folder belong together. Build
  again.

# targets
ND910 unknown target
  No target file of this name was found in the folders that are searched: those given on the command line,
  ./hw_targets, the folders in NEURODEPLOY_TARGETS, and the targets that come with the package. 'neurodeploy targets
  list' shows every name that can be used. A path that ends in .toml is read as it is. The same code is given for the
  target that an 'extends' line names.
ND911 unknown key in a target file
  The schema of target files is closed: a key it does not know would be silently ignored, and the limit or coefficient
  it was meant to set would keep its old value. The nearest known keys are offered. Every key is explained in
  hw_targets/README.md. 'name', 'file' and 'sha256' come from the file itself and cannot be set.
ND912 wrong unit in a target file
  Each key has one unit (picojoules, nanoseconds, watts, 64-bit words, bits ...). The unit is written beside the
  number so that a figure copied from a paper cannot slip in at the wrong scale. Convert the number and write the unit
  that the message asks for.
ND913 range out of order in a target file
  A cost is a range and must satisfy low <= nominal <= high; a list of codes must be ascending without repetition.
  Estimates are reported as nominal [low .. high], which would be meaningless otherwise. Where only one figure is
  known, write it three times and say so in the source.
ND914 missing entry or source in a target file
  Every number needs a source, and a target that prices work needs every cost: a coefficient left out would count as
  free. Add the entry; if nobody has published the number, derive it, mark it assumed = true and give it a wide range.
  A target that prices nothing says why in costs.unpriced.
ND915 targets extend each other in a circle
  A target may extend another one, which may extend a third, but the chain has to end in a file without 'extends'. The
  message shows the chain. Remove the line that closes the circle.
ND916 target file cannot be used
  The file is missing, empty, cut off, not UTF-8 text or not TOML, or it may not be read. Where the TOML parser
  stopped, its line and column are in the message; the mistake is there or just before.
ND917 unusable value in a target file
  The value has the wrong type or lies outside its range: limits are whole numbers from zero up or the word
  "unlimited", costs are finite numbers from zero up, flags are true or false, and 'kind' and 'grade' are one of a few
  words. Numbers are written without quotes; nan and inf are refused.
ND918 assumed range is too narrow
  A coefficient that nobody has published is a guess, and its range has to show it: an entry with assumed = true needs
  low <= nominal / 3 and high >= 3 x nominal. Widen the range, or give a public source and drop the mark.
ND919 impossible number of cores or chips
  More cores per chip than the mesh has places (routers_x * routers_y * cores_per_router), a port of the board at a
  router that the mesh does not have, or more chips than limits.chips allows. Correct the mesh or the port, or ask for
  fewer chips.
"""

_ENTRY = re.compile(r"^(ND\d{3}) (.+)\n((?:  .+\n)+)", re.MULTILINE)

#: code -> (title, explanation)
CODES = {code: (title, " ".join(text.split())) for code, title, text in _ENTRY.findall(CATALOGUE)}


def explained(code: str) -> tuple[str, str]:
    """Title and long text of an error code; UsageError with the nearest codes for an unknown one."""
    if code.upper() not in CODES:
        raise UsageError(unknown_name("ND900", "error code", code, CODES, "explain"))
    return CODES[code.upper()]
