"""The arguments of the verb `report`; apart, as every command parses them and only this one needs the rest."""

import argparse
from pathlib import Path

OUTPUT = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("target", metavar="RUN|FILE.sluice", help="run folder, .sluice file, or a released network")
    parser.add_argument("--data", help="folder of images, in folders by class or all in one; or a data set's name")
    parser.add_argument("--data-dir", type=Path, help="folder of the data set")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="the HTML file to write")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write every figure there as SVG and PNG, too")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="RUN", help="runs in the same frontier")
    parser.add_argument("--limit", type=int, help="look at so many images")
    parser.add_argument("--threads", type=int, default=1, help="of the engine, for its times")
    parser.add_argument("--preprocessing", help="none, imagenet or MEAN/STD; what the file says if left out")
