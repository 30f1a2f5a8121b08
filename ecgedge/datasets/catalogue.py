"""The data sets that are known by name: what they are, where they come from, on what terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecgedge.datasets.archive import Archive
from ecgedge.errors import DataError, UsageError

ODC = "ODC-BY 1.0"
_MB = 1_000_000


@dataclass(frozen=True)
class DataSet:
    """One data set; its files are those of a project on PhysioNet."""

    name: str
    """What it is called here, and its folder or zip file among the data sets."""
    title: str
    slug: str
    version: str
    licence: str
    citation: str
    recordings: int
    length: str
    """Of one recording."""
    leads: int
    rate: str
    """Samples per second."""
    marks: str
    """What is known of each recording."""
    files: tuple[str, ...]
    """Patterns of what is fetched unless told otherwise; ``*`` stays within a folder, ``**`` does not."""
    size: int
    """Bytes of these files, roughly."""
    folder: str
    """First part of the members' names; see ``Archive``."""
    remark: str = ""
    also: tuple[str, ...] = ()
    """Further names of its archive."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Published numbers of labels, by revision or kind."""

    def rate_hz(self) -> float:
        """Samples per second of all its recordings.

        Raises
        ------
        UsageError
            If they differ.
        """
        try:
            return float(self.rate)
        except ValueError:
            raise UsageError(f"{self.name} at {self.rate} Hz", "one --rate for all of it") from None

    @property
    def address(self) -> str:
        """Where its files lie, below the address of PhysioNet's files."""
        return f"{self.slug}/{self.version}/"


CINC2017 = DataSet(
    name="cinc2017",
    title="AF Classification from a Short Single Lead ECG: PhysioNet/CinC Challenge 2017",
    slug="challenge-2017",
    version="1.0.0",
    licence=ODC,
    citation="Clifford et al., Computing in Cardiology 2017, doi:10.22489/CinC.2017.065-469",
    recordings=8528,
    length="9-61 s",
    leads=1,
    rate="300",
    marks="class N (normal), A (AF), O (other), ~ (noisy), in three revisions",
    files=("training2017.zip", "REFERENCE-v3.csv"),
    size=95 * _MB,
    folder="training2017",
    remark="No subject ids: splits go by record. A01176 duplicates A00227, and A03123 duplicates A02656.",
    counts={
        "v1": {"N": 5154, "A": 771, "O": 2557, "~": 46},
        "v2": {"N": 5050, "A": 738, "O": 2456, "~": 284},
        "v3": {"N": 5076, "A": 758, "O": 2415, "~": 279},
    },
)
MITDB = DataSet(
    name="mitdb",
    title="MIT-BIH Arrhythmia Database",
    slug="mitdb",
    version="1.0.0",
    licence=ODC,
    citation="Moody and Mark, IEEE Eng. in Med. and Biol. 20(3), 2001, doi:10.13026/C2F305",
    recordings=48,
    length="30 min",
    leads=2,
    rate="360",
    marks="beats, rhythms, signal quality (atr); age and sex",
    files=("*.atr", "*.dat", "*.hea", "RECORDS", "ANNOTATORS"),
    size=94 * _MB,
    folder="mitdb",
    remark="201 and 202 are one person. Inter-patient split: de Chazal et al. 2004.",
    counts={"beats": {"all": 109494, "V": 7130, "A": 2546, "a": 150, "J": 83, "S": 2}},
)
MITDB_PWAVE = DataSet(
    name="mitdb_pwave",
    title="MIT-BIH Arrhythmia Database P-Wave Annotations",
    slug="pwave",
    version="1.0.0",
    licence=ODC,
    citation="Maršánová et al., World Congress on Medical Physics and Biomedical Engineering 2018, "
    "doi:10.1007/978-981-10-9038-7_72",
    recordings=12,
    length="30 min",
    leads=0,
    rate="360",
    marks="P peaks (pwave), for twelve records of mitdb; annotations only",
    files=("*.pwave",),
    size=_MB // 20,
    folder="mitdb_pwave",
)
NSTDB = DataSet(
    name="nstdb",
    title="MIT-BIH Noise Stress Test Database (its three noises)",
    slug="nstdb",
    version="1.0.0",
    licence=ODC,
    citation="Moody, Muldrow, Mark, Computers in Cardiology 1984, doi:10.13026/C2HS3T",
    recordings=3,
    length="30 min",
    leads=2,
    rate="360",
    marks="noise without ECG: bw baseline wander, em electrode motion, ma muscle",
    files=("bw.*", "em.*", "ma.*"),
    size=6 * _MB,
    folder="nstdb",
    also=("nstdb_noise",),
)
LUDB = DataSet(
    name="ludb",
    title="Lobachevsky University Electrocardiography Database",
    slug="ludb",
    version="1.0.1",
    licence=ODC,
    citation="Kalyakulina et al., IEEE Access 8, 2020, doi:10.1109/ACCESS.2020.3029211",
    recordings=200,
    length="10 s",
    leads=12,
    rate="500",
    marks="P, QRS and T limits in every lead (i to v6); rhythm, diagnoses, age, sex",
    files=("data/*", "*"),
    size=25 * _MB,
    folder="ludb",
)
AFDB = DataSet(
    name="afdb",
    title="MIT-BIH Atrial Fibrillation Database",
    slug="afdb",
    version="1.0.0",
    licence=ODC,
    citation="Moody and Mark, Computers in Cardiology 1983, doi:10.13026/C2MW2D",
    recordings=25,
    length="10 h",
    leads=2,
    rate="250",
    marks="rhythms (atr), unaudited beats (qrs)",
    files=("*.atr", "*.qrs", "*.hea", "RECORDS"),
    size=3 * _MB,
    folder="afdb",
    remark="Fetched are annotations and headers; the signals (640 MB; not of 00735 and 03665) come with "
    "--match '*.dat'.",
    also=("afdb_annotations",),
)
LTAFDB = DataSet(
    name="ltafdb",
    title="Long Term AF Database",
    slug="ltafdb",
    version="1.0.0",
    licence=ODC,
    citation="Petrutiu, Sahakian, Swiryn, Europace 9, 2007, doi:10.13026/C2QG6Q",
    recordings=84,
    length="24 h",
    leads=2,
    rate="128",
    marks="beats and rhythms (atr)",
    files=("*.atr", "*.dat", "*.hea", "RECORDS"),
    size=2900 * _MB,
    folder="ltafdb",
)
SVDB = DataSet(
    name="svdb",
    title="MIT-BIH Supraventricular Arrhythmia Database",
    slug="svdb",
    version="1.0.0",
    licence=ODC,
    citation="Greenwald, Patil, Mark, Computers in Cardiology 1990, doi:10.13026/C2V30W",
    recordings=78,
    length="30 min",
    leads=2,
    rate="128",
    marks="beats (atr)",
    files=("*.atr", "*.dat", "*.hea", "RECORDS"),
    size=55 * _MB,
    folder="svdb",
)
ICENTIA11K = DataSet(
    name="icentia11k",
    title="Icentia11k Single Lead Continuous Raw Electrocardiogram Dataset",
    slug="icentia11k-continuous-ecg",
    version="1.0",
    licence="CC BY-NC-SA 4.0",
    citation="Tan et al., Computing in Cardiology 2021, doi:10.13026/kk0v-r952",
    recordings=541_794,
    length="70 min",
    leads=1,
    rate="250",
    marks="beats N, S, V and rhythms N, AFIB, AFL (atr)",
    files=(),
    size=0,
    folder="icentia11k",
    remark="11,000 persons, over 1 TB: name what you want, such as --match 'p00/p00000/*'. Not for "
    "commercial use.",
)
PTBXL = DataSet(
    name="ptbxl",
    title="PTB-XL, a large publicly available electrocardiography dataset",
    slug="ptb-xl",
    version="1.0.3",
    licence="CC BY 4.0",
    citation="Wagner et al., Scientific Data 7, 2020, doi:10.1038/s41597-020-0495-6",
    recordings=21799,
    length="10 s",
    leads=12,
    rate="100, 500",
    marks="SCP-ECG statements, diagnostic superclass, fold; age, sex, person",
    files=("records100/**", "ptbxl_database.csv", "scp_statements.csv", "RECORDS", "LICENSE.txt"),
    size=530 * _MB,
    folder="ptbxl",
    remark="18,869 persons. Fetched are the 100 Hz records; --match 'records500/**' brings those of 500 Hz "
    "(2.6 GB).",
)
CPSC2018 = DataSet(
    name="cpsc2018",
    title="China Physiological Signal Challenge 2018, as in PhysioNet/CinC Challenge 2021",
    slug="challenge-2021",
    version="1.0.3",
    licence="CC BY 4.0",
    citation="Liu et al., J. Med. Imaging Health Inform. 8, 2018; Reyna et al., CinC 2021",
    recordings=6877,
    length="6-144 s",
    leads=12,
    rate="500",
    marks="SNOMED CT codes of nine rhythms and findings; age and sex",
    files=("training/cpsc_2018/**",),
    size=1300 * _MB,
    folder="cpsc2018",
)
CPSC2021 = DataSet(
    name="cpsc2021",
    title="China Physiological Signal Challenge 2021: paroxysmal AF events",
    slug="cpsc2021",
    version="1.0.0",
    licence="CC BY 4.0",
    citation="Wang et al., 4th China Physiological Signal Challenge 2021, doi:10.13026/ksya-qw89",
    recordings=1436,
    length="8 s-6 h",
    leads=2,
    rate="200",
    marks="beats and AF onsets and ends (atr); class of the excerpt, person",
    files=("**",),
    size=1100 * _MB,
    folder="cpsc2021",
)

SETS = {
    known.name: known
    for known in (
        *(CINC2017, MITDB, MITDB_PWAVE, NSTDB, LUDB, AFDB),
        *(LTAFDB, SVDB, ICENTIA11K, PTBXL, CPSC2018, CPSC2021),
    )
}


def find(name: str) -> DataSet:
    """The set of this name.

    Raises
    ------
    DataError
        If none is known by it.
    """
    if name not in SETS:
        raise DataError(f"data set {name!r}", f"one of {' '.join(SETS)}")
    return SETS[name]


def open_set(root: Path, name: str) -> Archive:
    """A set's archive or folder; also a tree as ``wget -r`` leaves it, ``physionet.org/files/...``.

    Raises
    ------
    DataError
        If it is not there, or damaged.
    """
    known = find(name)
    tree = known.address.rstrip("/")
    return Archive(root, name, *known.also, tree, f"physionet.org/files/{tree}")
