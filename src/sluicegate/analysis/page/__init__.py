"""The report as one HTML file."""

from sluicegate.analysis.page.panels import drawn_figures as drawn_figures
from sluicegate.analysis.page.render import render_page as render_page
from sluicegate.analysis.page.render import write_page as write_page
