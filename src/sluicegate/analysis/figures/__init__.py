"""Figures of an analysis, as Altair charts; `save_figure` writes any of them as SVG and PNG."""

from sluicegate.analysis.figures.classes import class_macs as class_macs
from sluicegate.analysis.figures.classes import confusion_bars as confusion_bars
from sluicegate.analysis.figures.classes import firing_differences as firing_differences
from sluicegate.analysis.figures.classes import gate_map_figure as gate_map_figure
from sluicegate.analysis.figures.classes import shown_gates as shown_gates
from sluicegate.analysis.figures.costs import block_bars as block_bars
from sluicegate.analysis.figures.costs import by_cost as by_cost
from sluicegate.analysis.figures.costs import macs_histogram as macs_histogram
from sluicegate.analysis.figures.costs import operating_points as operating_points
from sluicegate.analysis.figures.frontier import frontier as frontier
from sluicegate.analysis.figures.gates import firing_counts as firing_counts
from sluicegate.analysis.figures.gates import gates_per_image as gates_per_image
from sluicegate.analysis.figures.gates import history as history
from sluicegate.analysis.figures.gates import layers as layers
from sluicegate.analysis.figures.gates import probabilities as probabilities
from sluicegate.analysis.figures.gates import rate_histogram as rate_histogram
from sluicegate.analysis.figures.scenes import class_iou_bars as class_iou_bars
from sluicegate.analysis.figures.style import save_figure as save_figure
