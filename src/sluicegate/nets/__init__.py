"""Backbones that torchvision and timm lack, and every backbone by name."""

from sluicegate.nets.build import build_net as build_net
from sluicegate.nets.build import load_library_weights as load_library_weights
from sluicegate.nets.build import pspnet as pspnet
from sluicegate.nets.build import statistics_of as statistics_of
from sluicegate.nets.cifar_resnet import CifarResNet as CifarResNet
from sluicegate.nets.cifar_resnet import PreactResNet as PreactResNet
from sluicegate.nets.cifar_resnet import cifar_resnet as cifar_resnet
from sluicegate.nets.cifar_resnet import common_names as common_names
from sluicegate.nets.cifar_resnet import preact_resnet as preact_resnet
from sluicegate.nets.densenet import DenseNetBC as DenseNetBC
from sluicegate.nets.densenet import densenet_bc as densenet_bc
from sluicegate.nets.pspnet import PSPNet as PSPNet
from sluicegate.nets.pspnet import backbone_weights as backbone_weights
from sluicegate.nets.shake_shake import ShakeShakeNet as ShakeShakeNet
from sluicegate.nets.shake_shake import shake_shake as shake_shake
