"""Builds the package. The stubs of proto/dropstream are made during the build, so that they are those of the same commit."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
# In a clone, protos and version lie two folders up; a source distribution has its own copies.
ROOT = HERE if (HERE / "proto").exists() else HERE.parent.parent


def make_stubs(out: Path) -> None:
    """Writes `dropstream/v1/*_pb2.py`, their types and `*_pb2_grpc.py` below `out`."""
    from grpc_tools import protoc

    protos = sorted(path.relative_to(ROOT / "proto") for path in (ROOT / "proto" / "dropstream").rglob("*.proto"))
    folders = [f"-I{ROOT / 'proto'}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *folders, *outputs, *map(str, protos)]) != 0:
        raise RuntimeError(f"protoc could not make the stubs of {ROOT / 'proto'}")
    (out / "dropstream" / "v1" / "__init__.py").write_text('"""Generated messages and stubs of proto/dropstream/v1."""\n')


class BuildWithStubs(build_py):
    def run(self) -> None:
        super().run()
        make_stubs(HERE / "src" if self.editable_mode else Path(self.build_lib).resolve())


class SourcesWithProtos(sdist):
    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(ROOT / "proto", Path(base_dir) / "proto")
        shutil.copy(ROOT / "package.json", base_dir)


setup(
    version=json.loads((ROOT / "package.json").read_text())["version"],
    cmdclass={"build_py": BuildWithStubs, "sdist": SourcesWithProtos},
)
