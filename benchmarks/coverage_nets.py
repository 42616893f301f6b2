"""The networks of `coverage.py`: torchvision's and timm's CNNs, a few of our own, and what is left out, and why."""

from typing import NamedTuple

from torch import nn

from sluicegate.nets import build_net

LARGEST_SIDE = 224
"""Pixels; networks that were trained on larger images are gated for this."""

OWN = ("densenet_bc100_k12", "preact_resnet164", "resnet56", "se_resnet56", "shake_shake26_2x64d")
"""Networks for images of 32 pixels, of papers on gating, that neither library has."""

SIDES = {"torchvision:inception_v3": 299, **dict.fromkeys(OWN, 32)}
"""Pixels; networks that take no smaller images, as their auxiliary classifier does not; and those of OWN."""

TORCHVISION_LEFT_OUT = {
    "maxvit": "attends over pixels",
    "swin": "attends over pixels",
    "vit": "attends over pixels",
}
"""Beginnings of names -> why."""

TIMM = {
    "byobnet": "gernet_s repvgg_a0 repvgg_b1g4 mobileone_s0 mobileone_s1 regnetz_b16 regnetz_b16_evos resnext26ts "
    "eca_resnext26ts seresnext26ts resnet32ts resnet50_clip_gap resnet50_mlp resnet51q "
    "test_byobnet",
    "convmixer": "convmixer_768_32 convmixer_1024_20_ks9_p14",
    "convnext": "test_convnext test_convnext2 test_convnext3 convnext_zepto_rms convnext_zepto_rms_ols convnext_atto "
    "convnext_atto_ols convnextv2_atto convnext_femto convnextv2_nano convnext_tiny convnext_tiny_hnf convnextv2_tiny",
    "cspnet": "cs3darknet_focus_s cs3darknet_s darknet17 darknet21 sedarknet21 cspresnext50 cspresnet50 cspresnet50d "
    "cspresnet50w cs3sedarknet_xdw cspdarknet53 darknetaa53 darknet53 cs3edgenet_x cs3se_edgenet_x",
    "cspnext": "cspnext_tiny cspnext_s",
    "densenet": "densenet121 densenetblur121d densenet169",
    "dla": "dla46_c dla46x_c dla60x_c dla34 dla60 dla60x dla60_res2net dla60_res2next",
    "dpn": "dpn48b dpn68 dpn68b dpn92",
    "edgenext": "edgenext_xx_small",
    "efficientnet": "test_efficientnet test_efficientnet_evos test_efficientnet_gn test_efficientnet_ln "
    "mobilenetv1_100 mobilenetv2_035 mobilenetv2_100 mnasnet_small mnasnet_050 mnasnet_a1 semnasnet_050 spnasnet_100 "
    "tinynet_a tinynet_e mixnet_s tf_mixnet_s mixnet_xl mobilenet_edgetpu_100 mobilenet_edgetpu_v2_xs fbnetc_100 "
    "efficientnet_lite0 tf_efficientnet_lite0 efficientnet_b0 tf_efficientnet_b0 efficientnet_b0_gn "
    "efficientnet_b0_g8_gn efficientnet_b0_g16_evos efficientnet_blur_b0 efficientnet_es efficientnet_es_pruned "
    "efficientnet_b1_pruned efficientnet_em efficientnet_cc_b0_4e tf_efficientnet_cc_b0_4e efficientnet_x_b3 "
    "tf_efficientnetv2_b0 tf_efficientnetv2_s efficientnetv2_rw_t",
    "fasternet": "fasternet_t0 fasternet_t1",
    "fastvit": "fastvit_t8 fastvit_t12",
    "focalnet": "focalnet_tiny_srf focalnet_tiny_lrf",
    "ghostnet": "ghostnet_050 ghostnet_100 ghostnetv2_100 ghostnetv3_050 ghostnetv3_100",
    "hardcorenas": "hardcorenas_a hardcorenas_c hardcorenas_f",
    "hgnet": "hgnetv2_b0 hgnetv2_b4 hgnet_tiny",
    "hrnet": "hrnet_w18_small hrnet_w18_small_v2 hrnet_w18 hrnet_w18_ssld",
    "inception_next": "inception_next_atto inception_next_tiny",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3 tf_inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small lcnetv2_base",
    "mambaout": "test_mambaout mambaout_femto mambaout_kobe",
    "metaformer": "poolformer_s12 poolformerv2_s12 convformer_s18",
    "mobilenetv3": "lcnet_035 lcnet_100 mobilenetv3_small_050 mobilenetv3_small_100 tf_mobilenetv3_small_075 "
    "tf_mobilenetv3_small_minimal_100 mobilenetv3_large_100 tf_mobilenetv3_large_075 mobilenetv3_rw fbnetv3_b "
    "mobilenetv4_conv_small_035 mobilenetv4_conv_small mobilenetv4_conv_medium mobilenetv4_conv_aa_medium "
    "mobilenetv4_conv_blur_medium",
    "nasnet": "nasnetalarge",
    "nfnet": "test_nfnet nf_regnet_b0 nf_resnet26 nf_ecaresnet26 nf_seresnet26 eca_nfnet_l0 nfnet_l0 nfnet_f0",
    "pnasnet": "pnasnet5large",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002 regnetx_004_tv regnetx_016 regnety_002 regnety_008_tv regnety_016 regnetz_005 regnetz_040 "
    "regnetz_040_h regnetv_040 regnety_040_sgn",
    "repghost": "repghostnet_050 repghostnet_100",
    "repvit": "repvit_m0_9 repvit_m1_0 repvit_m2_3",
    "res2net": "res2net50_26w_4s res2net50_14w_8s res2net50_48w_2s res2net50d res2next50",
    "resnest": "resnest14d resnest26d resnest50d_1s4x24d resnest50d_4s2x40d",
    "resnet": "test_resnet resnet10t resnet14t resnet18 resnet18d resnetblur18 seresnet18 ecaresnext26t_32x4d "
    "ecaresnet26t resnet26 resnet26d resnet26t seresnext26d_32x4d seresnext26tn_32x4d resnet34 resnetaa34d seresnet34 "
    "ecaresnet50d_pruned resnext50_32x4d resnet50 resnet50_gn resnet50c resnet50d resnet50s resnet50t resnetaa50 "
    "resnetblur50 ecaresnet50t ecaresnetlight seresnet50 seresnetaa50d resnetrs50 wide_resnet50_2",
    "resnetv2": "resnetv2_18 resnetv2_18d resnetv2_34d resnetv2_50 resnetv2_50x1_bit resnetv2_50d_gn resnetv2_50d_frn "
    "resnetv2_50d_evos resnetv2_50t",
    "rexnet": "rexnet_100 rexnetr_100",
    "selecsls": "selecsls42 selecsls42b selecsls60",
    "senet": "legacy_seresnet18 legacy_seresnet50 legacy_seresnext26_32x4d",
    "sknet": "skresnet18 skresnet34 skresnet50 skresnet50d skresnext50_32x4d",
    "starnet": "starnet_s050 starnet_s100 starnet_s1",
    "tresnet": "tresnet_m tresnet_v2_l",
    "vgg": "vgg11 vgg11_bn vgg16_bn",
    "vovnet": "ese_vovnet19b_slim_dw ese_vovnet19b_slim ese_vovnet19b_dw eca_vovnet39b vovnet39a ese_vovnet39b "
    "ese_vovnet39b_evos",
    "xception": "xception legacy_xception",
    "xception_aligned": "xception41 xception41p",
}
"""Family (the file of timm that holds it) -> its smaller networks, one or more of each kind of block."""

_ATTENTION = """beit byoanet cait coat convit cpubone crossvit csatv2 davit deepseek_vit deit efficientformer
efficientformer_v2 efficientvit_mit efficientvit_msra eva gcvit gemma4_vit hiera hieradet_sam2 iformer levit lowformer
maxxvit mobilenetv5 mobilevit mvitv2 naflexvit nest nextvit pit pvt_v2 qwen3_vit shvit swiftformer swin_transformer
swin_transformer_v2 swin_transformer_v2_cr tiny_vit tnt twins visformer vision_transformer vision_transformer_hybrid
vision_transformer_relpos vision_transformer_sam vitamin volo xcit"""
TIMM_LEFT_OUT = {
    **dict.fromkeys(_ATTENTION.split(), "attends over pixels"),
    "efficientvim": "a state space model: its softmax goes over pixels",
    "gcresnet, gcresnext, gc_efficientnet": "global context: a softmax over pixels says what each adds to all",
    "mlp_mixer": "no convolutions: linear layers mix the pixels",
    "sequencer": "an LSTM runs over rows and columns",
}
"""Family -> why none of its networks is here. (Networks with attention are left out of the others, too.)"""


class Named(NamedTuple):
    """A network: `library:model`, or a name of our own, and its family."""

    name: str
    family: str


def networks() -> list[Named]:
    """All of them."""
    import torchvision.models as models

    names = models.list_models(module=models)
    kept = [name for name in names if not name.startswith(tuple(TORCHVISION_LEFT_OUT))]
    of_timm = [Named(f"timm:{model}", family) for family, found in TIMM.items() for model in found.split()]
    of_our_own = [Named(name, "sluicegate") for name in OWN]
    return [*(Named(f"torchvision:{name}", "torchvision") for name in kept), *of_timm, *of_our_own]


def build(name: str) -> nn.Module:
    """The network, with random weights."""
    import timm
    import torchvision.models as models

    library, _, model = name.rpartition(":")
    if not library:
        return build_net(model)
    if library == "timm":
        return timm.create_model(model)
    slow_to_fill = model in ("googlenet", "inception_v3")
    return models.get_model(model, weights=None, **({"init_weights": False} if slow_to_fill else {}))


def side_of(name: str, net: nn.Module, largest: int | None = None) -> int:
    """The side of the images that a network was made for, at most `largest` or LARGEST_SIDE if it takes those."""
    if name in SIDES:
        return SIDES[name]
    largest = largest or LARGEST_SIDE
    configured = getattr(net, "default_cfg", None)
    return min(largest, configured["input_size"][-1]) if configured else largest
