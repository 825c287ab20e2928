"""Small variants of networks in timm, transformers and torchvision: what `library_models.py` imports.

One line each: a name, the model, and options of the reader. Sizes are as small as a family's code allows, so that one
takes seconds; everything else is what the library does by itself. Of texts some tokens are padding where the model has
a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A network to import: ``kind`` is text, timm, vision, audio, series or torchvision."""

    name: str
    kind: str
    model: str
    reader: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """What its variants share: the name up to the first comma."""
        return self.name.partition(",")[0]


TEXT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 99,
    "max_position_embeddings": 64,
}  # fmt: skip
DECODER = {**TEXT, "num_key_value_heads": 2, "pad_token_id": 0}
HEAD = {**DECODER, "head_dim": 8}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "n_positions": 64, "pad_token_id": 0}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99}
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 99, "max_position_embeddings": 64,
}  # fmt: skip
XLM = {
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "vocab_size": 99,
    "n_words": 99,
    "max_position_embeddings": 64,
}
DEBERTA = {**TEXT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16}
MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99, "state_size": 4, "use_mambapy": False}

#: family, type of the library, arguments, options; a mask where the options do not say that there is none
TEXTS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("BERT", "bert", TEXT, {}),
    ("BERT, pooled", "bert", TEXT, {"output": "pooled"}),
    ("BERT, first token", "bert", TEXT, {"output": "first"}),
    ("BERT, ReLU", "bert", {**TEXT, "hidden_act": "relu"}, {}),
    ("BERT, GELU by tanh", "bert", {**TEXT, "hidden_act": "gelu_new"}, {}),
    ("BERT, relative keys", "bert", {**TEXT, "position_embedding_type": "relative_key"}, {}),
    ("BERT, relative keys and queries", "bert", {**TEXT, "position_embedding_type": "relative_key_query"}, {}),
    ("BERT, causal", "bert", {**TEXT, "is_decoder": True}, {}),
    ("BERT, no mask", "bert", TEXT, {"mask": False}),
    ("BERT, all tokens", "bert", TEXT, {"output": "tokens"}),
    ("RoBERTa", "roberta", {**TEXT, "pad_token_id": 1}, {}),
    ("RoBERTa, first token", "roberta", TEXT, {"output": "first"}),
    ("XLM-RoBERTa", "xlm-roberta", TEXT, {}),
    ("XLM-RoBERTa-XL", "xlm-roberta-xl", TEXT, {}),
    ("CamemBERT", "camembert", TEXT, {}),
    ("RoBERTa-PreLayerNorm", "roberta-prelayernorm", TEXT, {}),
    ("X-MOD", "xmod", {**TEXT, "default_language": "en_XX"}, {}),
    ("ALBERT", "albert", {**TEXT, "embedding_size": 16}, {}),
    ("ALBERT, two groups", "albert", {**TEXT, "embedding_size": 16, "num_hidden_groups": 2}, {}),
    ("DistilBERT", "distilbert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99}, {}),
    ("ELECTRA", "electra", {**TEXT, "embedding_size": 16}, {}),
    ("MPNet", "mpnet", TEXT, {}),
    ("MobileBERT", "mobilebert", {**TEXT, "embedding_size": 32, "intra_bottleneck_size": 16,
                                  "true_hidden_size": 16, "num_feedforward_networks": 2}, {"mask": False}),
    ("SqueezeBERT", "squeezebert", {**TEXT, "embedding_size": 32}, {}),
    ("DeBERTa", "deberta", TEXT, {}),
    ("DeBERTa, relative", "deberta", DEBERTA, {}),
    ("DeBERTa-v2", "deberta-v2", TEXT, {}),
    ("DeBERTa-v2, relative", "deberta-v2", {**DEBERTA, "share_att_key": True, "position_buckets": 8}, {}),
    ("Megatron-BERT", "megatron-bert", TEXT, {}),
    ("Nezha", "nezha", TEXT, {}),
    ("ERNIE", "ernie", TEXT, {}),
    ("ERNIE-M", "ernie_m", TEXT, {}),
    ("ESM", "esm", {**TEXT, "pad_token_id": 1, "mask_token_id": 2}, {}),
    ("ESM, rotary", "esm", {**TEXT, "pad_token_id": 1, "mask_token_id": 2, "position_embedding_type": "rotary"}, {}),
    ("RoFormer", "roformer", {**TEXT, "embedding_size": 32}, {}),
    ("RemBERT", "rembert", {**TEXT, "input_embedding_size": 16}, {}),
    ("Splinter", "splinter", TEXT, {}),
    ("RoCBert", "roc_bert", {**TEXT, "enable_pronunciation": False, "enable_shape": False}, {}),
    ("ConvBERT", "convbert", {**TEXT, "embedding_size": 32}, {"mask": False}),
    ("I-BERT", "ibert", TEXT, {}),
    ("LayoutLM", "layoutlm", TEXT, {}),
    ("Data2Vec text", "data2vec-text", TEXT, {}),
    ("BERT generation", "bert-generation", TEXT, {}),
    ("Longformer", "longformer", {**TEXT, "attention_window": 4}, {}),
    ("BigBird, full attention", "big_bird", {**TEXT, "attention_type": "original_full"}, {}),
    ("Nystromformer", "nystromformer", {**TEXT, "num_landmarks": 4, "segment_means_seq_len": 12}, {"mask": False}),
    ("FNet", "fnet", TEXT, {"mask": False}),
    ("Funnel", "funnel", {"d_model": 32, "block_sizes": [1, 1], "n_head": 4, "d_head": 8, "d_inner": 64,
                          "vocab_size": 99, "num_decoder_layers": 1}, {"mask": False}),
    ("LiLT", "lilt", {**TEXT, "hidden_size": 48, "max_2d_position_embeddings": 64}, {}),
    ("MarkupLM", "markuplm", TEXT, {}),
    ("LUKE", "luke", {**TEXT, "entity_vocab_size": 9, "entity_emb_size": 8}, {}),
    ("TAPAS", "tapas", TEXT, {}),
    ("Canine", "canine", {**TEXT, "num_hash_buckets": 16, "local_transformer_stride": 4}, {"mask": False}),
    ("DPR", "dpr", TEXT, {}),
    ("XLM", "xlm", XLM, {}),
    ("FlauBERT", "flaubert", XLM, {}),
    ("XLNet", "xlnet", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "vocab_size": 99}, {"mask": False}),
    ("T5 encoder", "t5", T5, {}),
    ("T5 encoder, gated", "t5", {**T5, "feed_forward_proj": "gated-gelu"}, {}),
    ("mT5 encoder", "mt5", T5, {}),
    ("UMT5 encoder", "umt5", T5, {}),
    ("CLIP text", "clip_text_model", {**TEXT, "eos_token_id": 98}, {}),
    ("BART", "bart", BART, {}),
    ("GPT-2", "gpt2", GPT, {}),
    ("GPT-2, mean", "gpt2", GPT, {"output": "mean"}),
    ("GPT-1", "openai-gpt", GPT, {}),
    ("GPT-BigCode", "gpt_bigcode", GPT, {}),
    ("GPT-Neo", "gpt_neo", {**TEXT, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
                            "window_size": 4, "pad_token_id": 0}, {}),
    ("GPT-NeoX", "gpt_neox", {**TEXT, "rotary_pct": 0.5, "pad_token_id": 0}, {}),
    ("GPT-NeoX Japanese", "gpt_neox_japanese", {**TEXT, "intermediate_multiple_size": 2, "pad_token_id": 0}, {}),
    ("GPT-J", "gptj", {**GPT, "rotary_dim": 4}, {}),
    ("CodeGen", "codegen", {**GPT, "rotary_dim": 4}, {}),
    ("CTRL", "ctrl", {**GPT, "dff": 64}, {}),
    ("OPT", "opt", {**TEXT, "ffn_dim": 64, "word_embed_proj_dim": 32}, {}),
    ("OPT, projected words", "opt", {**TEXT, "ffn_dim": 64, "word_embed_proj_dim": 16}, {}),
    ("BLOOM", "bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "pad_token_id": 3}, {}),
    ("MPT", "mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 99, "max_seq_len": 64,
                    "pad_token_id": 0}, {}),
    ("Falcon", "falcon", {**TEXT, "pad_token_id": 0}, {}),
    ("Falcon, alibi", "falcon", {**TEXT, "pad_token_id": 0, "alibi": True}, {}),
    ("Falcon, new decoder", "falcon", {**TEXT, "pad_token_id": 0, "new_decoder_architecture": True,
                                       "num_kv_heads": 2}, {}),
    ("LLaMA", "llama", DECODER, {}),
    ("LLaMA, no mask", "llama", DECODER, {"mask": False}),
    ("LLaMA, scaled positions", "llama", {**DECODER, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}, {}),
    ("Mistral", "mistral", DECODER, {}),
    ("Mistral, window", "mistral", {**DECODER, "sliding_window": 4}, {}),
    ("Qwen2", "qwen2", DECODER, {}),
    ("Gemma", "gemma", HEAD, {}),
    ("Gemma 2", "gemma2", {**HEAD, "sliding_window": 4}, {}),
    ("Phi", "phi", DECODER, {}),
    ("Phi-3", "phi3", DECODER, {}),
    ("StableLM", "stablelm", DECODER, {}),
    ("StarCoder2", "starcoder2", DECODER, {}),
    ("OLMo", "olmo", DECODER, {}),
    ("Granite", "granite", DECODER, {}),
    ("Cohere", "cohere", DECODER, {}),
    ("Persimmon", "persimmon", {**TEXT, "pad_token_id": 0}, {}),
    ("Nemotron", "nemotron", DECODER, {}),
    ("GLM", "glm", HEAD, {}),
    ("BioGPT", "biogpt", {**TEXT, "pad_token_id": 1}, {}),
    ("XGLM", "xglm", {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64, "vocab_size": 99,
                      "max_position_embeddings": 64}, {}),
    ("Mamba", "mamba", MAMBA, {"mask": False}),
    ("RWKV", "rwkv", {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99, "context_length": 16},
     {"mask": False}),
    ("Mixtral", "mixtral", {**DECODER, "num_local_experts": 2}, {}),
)  # fmt: skip

CNN = {"image": 64, "classes": 7}
SMALL = {"image": 32, "classes": 7}
ONE = {"depths": [1, 1, 1, 1]}
SWIN = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4]}
VIT = {"depth": 2, "embed_dim": 48, "num_heads": 4}
DIMS = [16, 24, 32, 48]

#: name of timm, arguments, what differs from an image of 64 pixels
TIMM: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("vit_tiny_patch16_224", VIT, {}),
    ("vit_tiny_patch16_224", {**VIT, "global_pool": "avg", "class_token": False}, {}),
    ("vit_tiny_patch16_224", {**VIT, "global_pool": "map"}, {}),
    ("vit_tiny_patch16_224", {**VIT, "qk_norm": True, "init_values": 0.1}, {}),
    ("vit_tiny_patch16_224", {**VIT, "act_layer": "relu6"}, {}),
    ("vit_small_r26_s32_224", {**VIT}, {}),
    ("vit_medium_patch16_gap_240", VIT, {}),
    ("vit_medium_patch16_rope_reg1_gap_256", VIT, {}),
    ("vit_relpos_small_patch16_224", VIT, {}),
    ("vit_srelpos_small_patch16_224", VIT, {}),
    ("vit_small_patch14_reg4_dinov2", {**VIT, "patch_size": 16}, {}),
    ("vit_small_patch14_dinov2", {**VIT, "patch_size": 16}, {}),
    ("vit_base_patch16_siglip_224", VIT, {}),
    ("vit_base_patch16_clip_224", VIT, {}),
    ("vit_base_patch16_clip_quickgelu_224", VIT, {}),
    ("flexivit_small", VIT, {}),
    ("samvit_base_patch16_224", {**VIT, "global_attn_indexes": [1], "window_size": 2}, {}),
    ("deit_tiny_distilled_patch16_224", VIT, {}),
    ("deit3_small_patch16_224", VIT, {}),
    ("beit_base_patch16_224", VIT, {}),
    ("eva02_tiny_patch14_224", {**VIT, "patch_size": 16}, {}),
    ("eva02_base_patch16_clip_224", VIT, {}),
    ("cait_xxs24_224", {**VIT, "depth_token_only": 1}, {}),
    ("convit_tiny", {**VIT, "local_up_to_layer": 1}, {}),
    ("crossvit_tiny_240", {"embed_dim": [16, 32], "depth": [[1, 1, 0]], "num_heads": [2, 2]}, {"image": 120}),
    ("tnt_s_patch16_224", {"depth": 2, "embed_dim": 48, "inner_dim": 8, "num_heads_inner": 2, "num_heads_outer": 4},
     {}),
    ("pit_ti_224", {"base_dims": [16, 16, 16], "depth": [1, 1, 1], "heads": [1, 2, 4]}, {}),
    ("pit_ti_distilled_224", {"base_dims": [16, 16, 16], "depth": [1, 1, 1], "heads": [1, 2, 4]}, {}),
    ("levit_128s", {"embed_dim": [32, 48, 64], "depth": [1, 1, 1], "num_heads": [2, 3, 4], "key_dim": 8}, {}),
    ("levit_conv_128s", {"embed_dim": [32, 48, 64], "depth": [1, 1, 1], "num_heads": [2, 3, 4], "key_dim": 8}, {}),
    ("volo_d1_224", {}, {}),
    ("xcit_nano_12_p16_224", {"depth": 2, "embed_dim": 32}, {}),
    ("xcit_tiny_12_p8_224", {"depth": 2, "embed_dim": 32, "num_heads": 4}, {}),
    ("swin_tiny_patch4_window7_224", {**SWIN, "window_size": 4}, {}),
    ("swin_s3_tiny_224", {**SWIN, "window_size": [4, 4]}, {}),
    ("swinv2_tiny_window8_256", {**SWIN, "window_size": 4}, {}),
    ("swinv2_cr_tiny_ns_224", {**SWIN, "window_size": 4}, {}),
    ("twins_pcpvt_small", {"embed_dims": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}, {}),
    ("twins_svt_small", {"embed_dims": [16, 32, 64, 128], "depths": [1, 2, 1, 1]}, {}),
    ("pvt_v2_b0", {"depths": [1, 1, 1, 1], "embed_dims": [16, 32, 40, 64]}, {}),
    ("pvt_v2_b2_li", {"depths": [1, 1, 1, 1], "embed_dims": [16, 32, 40, 64]}, {}),
    ("mvitv2_tiny", {}, {}),
    ("hiera_tiny_224", {"embed_dim": 16, "stages": [1, 1, 1, 1], "q_pool": 2}, {}),
    ("coat_lite_tiny", {"embed_dims": [32, 32, 64, 64], "serial_depths": [1, 1, 1, 1]}, {}),
    ("coat_tiny", {"embed_dims": [32, 32, 32, 32], "serial_depths": [1, 1, 1, 1], "parallel_depth": 1}, {}),
    ("nest_tiny", {}, {}),
    ("gcvit_xxtiny", {}, {}),
    ("davit_tiny", {"depths": [1, 1, 1, 1], "embed_dims": [16, 32, 48, 64], "num_heads": [1, 2, 3, 4]},
     {"image": 224}),
    ("maxvit_pico_rw_256", {}, {}),
    ("coatnet_pico_rw_224", {}, {}),
    ("coatnet_nano_rw_224", {}, {}),
    ("maxxvit_rmlp_nano_rw_256", {}, {}),
    ("tiny_vit_5m_224", {"embed_dims": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "num_heads": [2, 2, 3, 4],
                         "window_sizes": [4, 4, 4, 2]}, {}),
    ("efficientformer_l1", {"depths": [1, 1, 1, 2], "embed_dims": [16, 24, 32, 48]}, {"image": 224}),
    ("efficientformerv2_s0", {"depths": [1, 1, 1, 2], "embed_dims": [16, 24, 32, 48]}, {"image": 224}),
    ("efficientvit_b0", {}, {}),
    ("efficientvit_m0", {}, {"image": 224}),
    ("edgenext_xx_small", {}, {}),
    ("mobilevit_xxs", {}, {}),
    ("mobilevitv2_050", {}, {}),
    ("fastvit_t8", {}, {}),
    ("repvit_m0_9", {}, {}),
    ("visformer_tiny", {"embed_dim": 96, "depth": [1, 1, 1], "init_channels": 8}, {}),
    ("poolformer_s12", {}, {}),
    ("convformer_s18", {}, {}),
    ("caformer_s18", {}, {}),
    ("mixer_s16_224", {}, {}),
    ("gmixer_12_224", {}, {}),
    ("resmlp_12_224", {}, {}),
    ("gmlp_ti16_224", {}, {}),
    ("sequencer2d_s", {"layers": [1, 1, 1, 1], "embed_dims": [16, 32, 32, 32], "hidden_sizes": [4, 8, 8, 8]}, {}),
    ("focalnet_tiny_srf", {}, {}),
    ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": DIMS}, {}),
    ("convnextv2_atto", {"depths": [1, 1, 1, 1], "dims": DIMS}, {}),
    ("convnext_atto_rms", {"depths": [1, 1, 1, 1], "dims": DIMS}, {}),
    ("inception_next_tiny", {"depths": [1, 1, 1, 1], "dims": DIMS}, {}),
    ("convmixer_768_32", {}, {}),
    ("mambaout_femto", {"depths": [1, 1, 1, 1], "dims": DIMS}, {}),
    ("vitamin_small_224", {}, {}),
    ("resnet10t", {}, {}),
    ("resnet18", {}, {}),
    ("resnet26d", {}, {}),
    ("seresnext26d_32x4d", {}, {}),
    ("ecaresnet26t", {}, {}),
    ("skresnet18", {}, {}),
    ("resnest14d", {}, {}),
    ("res2net50_26w_4s", {"layers": [1, 1, 1, 1]}, {}),
    ("resnetv2_18", {}, {}),
    ("nf_resnet26", {}, {}),
    ("dm_nfnet_f0", {}, {}),
    ("regnetx_002", {}, {}),
    ("regnety_002", {}, {}),
    ("efficientnet_b0", {}, {}),
    ("tf_efficientnetv2_b0", {}, {}),
    ("mobilenetv2_035", {}, {}),
    ("mobilenetv3_small_050", {}, {}),
    ("mobilenetv4_conv_small_035", {}, {}),
    ("ghostnet_050", {}, {}),
    ("rexnet_100", {}, {}),
    ("densenet121", {"growth_rate": 8, "block_config": [2, 2, 2, 2]}, {}),
    ("vgg11", {}, {}),
    ("ese_vovnet19b_slim", {}, {}),
    ("cs3darknet_focus_s", {}, {}),
    ("hgnetv2_b0", {}, {}),
    ("botnet26t_256", {}, {}),
    ("halonet26t", {}, {"image": 256}),
    ("lambda_resnet26t", {}, {}),
    ("repvgg_a0", {}, {}),
    ("mobileone_s0", {}, {}),
)  # fmt: skip

MINI = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
FOUR = {"hidden_sizes": DIMS, "depths": [1, 1, 1, 1], "image_size": 64}
WIDER, HEADS = [16, 32, 48, 64], [1, 2, 3, 4]
HIERARCHY = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4, "image_size": 32}

VISION: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("ViT", "vit", MINI, {}),
    ("ViT, tokens", "vit", MINI, {"output": "tokens"}),
    ("ViT, mean", "vit", {**MINI, "architectures": ["ViTModel"]}, {"output": "mean"}),
    ("DeiT", "deit", MINI, {}),
    ("BEiT", "beit", MINI, {}),
    ("BEiT, relative positions", "beit", {**MINI, "use_relative_position_bias": True}, {}),
    ("BEiT, shared relative positions", "beit", {**MINI, "use_shared_relative_position_bias": True}, {}),
    ("Data2Vec vision", "data2vec-vision", MINI, {}),
    ("DINOv2", "dinov2", MINI, {}),
    ("DINOv2, SwiGLU", "dinov2", {**MINI, "use_swiglu_ffn": True}, {}),
    ("ViT-MSN", "vit_msn", MINI, {}),
    ("ViT-MAE", "vit_mae", {**MINI, "mask_ratio": 0.0}, {}),
    ("ViT hybrid", "vit_hybrid", {**MINI, "patch_size": 1, "image_size": 64,
                                  "backbone_featmap_shape": [1, 1024, 4, 4]}, {}),
    ("ViTDet", "vitdet", {**MINI, "window_block_indices": [0], "window_size": 2}, {}),
    ("CLIP vision", "clip_vision_model", MINI, {}),
    ("Chinese CLIP vision", "chinese_clip_vision_model", MINI, {}),
    ("SigLIP vision", "siglip_vision_model", MINI, {}),
    ("YOLOS", "yolos", {**MINI, "image_size": [32, 32], "num_detection_tokens": 4}, {"image": 32}),
    ("DPT", "dpt", {**MINI, "backbone_out_indices": [0, 0, 1, 1]}, {}),
    ("Hiera", "hiera", {"embed_dim": 16, "image_size": [64, 64], "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]},
     {"image": 64}),
    ("Swin", "swin", HIERARCHY, {}),
    ("SwinV2", "swinv2", HIERARCHY, {}),
    ("Donut Swin", "donut-swin", HIERARCHY, {}),
    ("MaskFormer Swin", "maskformer-swin", HIERARCHY, {}),
    ("Swin2SR", "swin2sr", {**HIERARCHY, "upscale": 2}, {}),
    ("FocalNet", "focalnet", {**HIERARCHY, "focal_levels": [1, 1], "focal_windows": [3, 3]}, {}),
    ("ConvNeXt", "convnext", FOUR, {}),
    ("ConvNeXt V2", "convnextv2", FOUR, {}),
    ("ResNet", "resnet", {"embedding_size": 16, **FOUR, "layer_type": "basic"}, {"image": 64}),
    ("ResNet, bottleneck", "resnet", {"embedding_size": 16, **FOUR}, {"image": 64}),
    ("RegNet", "regnet", {"embedding_size": 16, **FOUR, "groups_width": 8}, {"image": 64}),
    ("RegNet, x", "regnet", {"embedding_size": 16, **FOUR, "groups_width": 8, "layer_type": "x"}, {"image": 64}),
    ("BiT", "bit", {"embedding_size": 32, "hidden_sizes": [32, 64, 64, 64], "depths": [1, 1, 1, 1],
                    "num_groups": 8}, {"image": 64}),
    ("VAN", "van", {**FOUR, "mlp_ratios": [2, 2, 2, 2]}, {}),
    ("PoolFormer", "poolformer", FOUR, {"image": 64}),
    ("PVT", "pvt", {**FOUR, "hidden_sizes": WIDER, "num_attention_heads": HEADS}, {}),
    ("PVT v2", "pvt_v2", {**FOUR, "hidden_sizes": WIDER, "num_attention_heads": HEADS}, {}),
    ("SegFormer", "segformer", {**FOUR, "hidden_sizes": WIDER, "num_attention_heads": HEADS}, {}),
    ("GLPN", "glpn", {**FOUR, "hidden_sizes": WIDER, "num_attention_heads": HEADS}, {"image": 64}),
    ("CvT", "cvt", {"embed_dim": [16, 32, 48], "depth": [1, 2, 3], "num_heads": [1, 2, 3],
                    "cls_token": [False, False, True]}, {"image": 64}),
    ("LeViT", "levit", {"image_size": 64, "hidden_sizes": [32, 48, 64], "depths": [1, 1, 1],
                        "num_attention_heads": [2, 3, 4], "key_dim": [8, 8, 8]}, {}),
    ("EfficientFormer", "efficientformer", {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 2], "dim": 48,
                                            "resolution": 2, "image_size": 64}, {}),
    ("EfficientNet", "efficientnet", {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.1,
                                      "hidden_dim": 320, "initializer_range": 0.3}, {}),
    ("MobileNet V1", "mobilenet_v1", {"image_size": 64, "initializer_range": 0.3, "depth_multiplier": 0.25}, {}),
    ("MobileNet V2", "mobilenet_v2", {"image_size": 64, "initializer_range": 0.3, "depth_multiplier": 0.25}, {}),
    ("MobileViT", "mobilevit", {"image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes":
                                [8, 8, 16, 16, 24, 24, 32]}, {}),
    ("MobileViT V2", "mobilevitv2", {"image_size": 64, "width_multiplier": 0.25}, {}),
    ("SwiftFormer", "swiftformer", {"depths": [1, 1, 1, 1], "embed_dims": DIMS, "image_size": 64}, {}),
    ("ImageGPT", "imagegpt", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "n_positions": 64},
     {"mask": False, "tokens": 12}),
    ("Perceiver", "perceiver", {"d_latents": 16, "d_model": 16, "num_latents": 8, "num_blocks": 1,
                                "num_self_attends_per_block": 2, "num_self_attention_heads": 2,
                                "num_cross_attention_heads": 2, "vocab_size": 99}, {"mask": False, "tokens": 12}),
    ("VideoMAE", "videomae", {**MINI, "num_frames": 4}, {}),
    ("ViViT", "vivit", {**MINI, "num_frames": 4, "tubelet_size": [2, 8, 8]}, {}),
    ("TimeSformer", "timesformer", {**MINI, "num_frames": 4}, {}),
    ("SuperPoint", "superpoint", {}, {"image": 32}),
)  # fmt: skip

WAVE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "conv_dim": [16, 16, 16], "conv_stride": [5, 2, 2], "conv_kernel": [10, 3, 3], "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "apply_spec_augment": False}  # fmt: skip
FEATURES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

AUDIO: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("Audio Spectrogram Transformer", "audio-spectrogram-transformer",
     {**FEATURES, "max_length": 20, "num_mel_bins": 16, "patch_size": 8, "frequency_stride": 8, "time_stride": 8}, {}),
    ("wav2vec 2.0", "wav2vec2", WAVE, {}),
    ("wav2vec 2.0, stable layer norm", "wav2vec2", {**WAVE, "do_stable_layer_norm": True,
                                                    "feat_extract_norm": "layer"}, {}),
    ("HuBERT", "hubert", WAVE, {}),
    ("WavLM", "wavlm", WAVE, {}),
    ("UniSpeech", "unispeech", WAVE, {}),
    ("UniSpeech-SAT", "unispeech-sat", WAVE, {}),
    ("Data2Vec audio", "data2vec-audio", {**WAVE, "conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}, {}),
    ("SEW", "sew", {**WAVE, "squeeze_factor": 2}, {}),
    ("wav2vec 2.0 BERT", "wav2vec2-bert", {**FEATURES, "feature_projection_input_dim": 16}, {}),
    ("wav2vec 2.0 Conformer", "wav2vec2-conformer", WAVE, {}),
    ("Whisper encoder", "whisper", {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4,
                                    "encoder_ffn_dim": 64, "num_mel_bins": 8, "max_source_positions": 10,
                                    "decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64,
                                    "pad_token_id": 0,
                                    "vocab_size": 99}, {}),
)  # fmt: skip

TORCHVISION: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("VisionTransformer", {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32},
     SMALL),
    ("swin_t", {}, SMALL),
    ("swin_v2_t", {}, SMALL),
    ("convnext_tiny", {}, SMALL),
    ("maxvit_t", {}, {"image": 224, "classes": 7}),
    ("resnet18", {}, CNN),
    ("resnext50_32x4d", {}, SMALL),
    ("wide_resnet50_2", {}, SMALL),
    ("alexnet", {}, CNN),
    ("vgg11_bn", {}, SMALL),
    ("squeezenet1_1", {}, CNN),
    ("densenet121", {}, SMALL),
    ("inception_v3", {"aux_logits": False, "init_weights": False}, {"image": 96, "classes": 7}),
    ("googlenet", {"aux_logits": False, "init_weights": False}, CNN),
    ("shufflenet_v2_x0_5", {}, CNN),
    ("mobilenet_v2", {}, CNN),
    ("mobilenet_v3_small", {}, CNN),
    ("mnasnet0_5", {}, CNN),
    ("efficientnet_b0", {}, CNN),
    ("efficientnet_v2_s", {}, SMALL),
    ("regnet_x_400mf", {}, CNN),
    ("regnet_y_400mf", {}, CNN),
)  # fmt: skip


def variants() -> Iterator[Variant]:
    """All of them; names are unique."""
    for name, kind, arguments, options in TEXTS:
        yield Variant(
            name, "text", f"hf:{kind}", {"tokens": 12, "mask": True, "arguments": arguments, **options}
        )
    seen: dict[str, int] = {}
    for name, arguments, options in TIMM:
        seen[name] = seen.get(name, 0) + 1
        label = f"timm {name}" + (f", {seen[name]}" if seen[name] > 1 else "")
        yield Variant(label, "timm", f"timm:{name}", {**CNN, **options, "arguments": arguments})
    for kind, rows in (("vision", VISION), ("audio", AUDIO)):
        for name, model, arguments, options in rows:
            signal = {"length": 320 if arguments.get("conv_dim") else 20} if kind == "audio" else {}
            yield Variant(name, kind, f"hf:{model}", {"arguments": arguments, **signal, **options})
    for name, arguments, options in TORCHVISION:
        yield Variant(
            f"torchvision {name}", "torchvision", f"torchvision:{name}", {**options, "arguments": arguments}
        )
