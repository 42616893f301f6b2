import subprocess
import sys


def test_importing_the_runtime_imports_neither_torch_nor_the_pytorch_side():
    code = (
        "import sys, sluicegate_runtime\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'sluicegate', 'safetensors')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
