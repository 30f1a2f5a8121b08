"""Learning from other nets: the loss against torch's own, and a whole small run with a teacher."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import recipe_text, tiny

from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError, UsageError
from ecgedge.models import build
from ecgedge.training import checkpoint, run
from ecgedge.training import recipe as recipes
from ecgedge.training.module import WindowClassifier

DISTILLATION = '\n[distillation]\nteachers = ["{}"]\nshare = {}\ntemperature = 2.0\n'


def taught(folder: Path, teacher: str = "tiny", share: float = 0.7, **changes: object) -> Path:
    path = folder / "taught.toml"
    text = recipe_text(name="taught", **changes) + DISTILLATION.format(teacher, share)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_loss_is_that_of_hinton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = recipes.load(str(taught(tmp_path)))
    torch.manual_seed(0)
    teachers = [build(plan.architecture, plan.net).eval() for _ in range(2)]
    module = WindowClassifier(plan, teachers).eval()
    monkeypatch.setattr(module, "log", lambda *_, **__: None)  # there is no trainer
    x, label = torch.randn(4, 1, 1, 3000), torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        loss = module.training_step(((x,), label), 0)
        own = module.net(x)
        told = sum((net(x) / 2).softmax(dim=1) for net in teachers) / 2
        distance = (told * (told.log() - (own / 2).log_softmax(dim=1))).sum(dim=1).mean()
        wanted = 0.3 * module.loss(own, label) + 0.7 * 4 * distance
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_a_teacher_is_neither_trained_nor_kept(tmp_path: Path) -> None:
    plan = recipes.load(str(taught(tmp_path)))
    teacher = build(plan.architecture, plan.net)
    module = WindowClassifier(plan, [teacher])
    assert not any(p.requires_grad for p in teacher.parameters())
    assert set(module.state_dict()) == set(WindowClassifier(plan).state_dict())


def test_a_run_learns_from_the_checkpoint_of_an_earlier_one(cinc_like: Path, tmp_path: Path) -> None:
    teacher = run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    alone = checkpoint.load(teacher).net.state_dict()
    made = checkpoint.load(run.train(str(taught(tmp_path)), cinc_like, tmp_path))
    assert made.recipe.distillation is not None
    assert made.recipe.distillation.teachers == ["tiny"]
    assert any(not torch.equal(alone[name], value) for name, value in made.net.state_dict().items())


def test_a_run_does_not_go_on_with_a_teacher_that_was_trained_anew(cinc_like: Path, tmp_path: Path) -> None:
    run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    recipe = str(taught(tmp_path))
    path = run.train(recipe, cinc_like, tmp_path)
    first = path.read_bytes()
    assert run.train(recipe, cinc_like, tmp_path).read_bytes() == first, "the same teacher: the same again"
    run.train(str(tiny(tmp_path, seed=5)), cinc_like, tmp_path / "other")
    (tmp_path / "other" / "tiny.pt").replace(tmp_path / "tiny.pt")
    with pytest.raises(DataError, match=r"learned from another tiny; .*Delete .*last\.ckpt") as caught:
        run.train(recipe, cinc_like, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_teacher_that_is_missing_or_saw_other_windows_is_named(cinc_like: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no checkpoint tiny\.pt.*Train it first"):
        run.train(str(taught(tmp_path)), cinc_like, tmp_path)
    plan = recipes.load(str(tiny(tmp_path)))
    other = dataclasses.replace(plan, window=dataclasses.replace(plan.window, clip=5.0))
    net = build(plan.architecture, plan.net)
    checkpoint.save(tmp_path / "tiny.pt", net.state_dict(), other, {})
    with pytest.raises(DataError, match="teacher tiny was trained on other windows"):
        run.train(str(taught(tmp_path)), cinc_like, tmp_path)


def test_a_teacher_that_may_have_seen_the_inner_records_is_refused(cinc_like: Path, tmp_path: Path) -> None:
    run.train(str(tiny(tmp_path, inner_share=0.5)), cinc_like, tmp_path)
    with pytest.raises(DataError, match=r"other windows or records"):
        run.train(str(taught(tmp_path)), cinc_like, tmp_path)


def test_models_of_any_revision_leave_the_same_records_out(cinc_like: Path, tmp_path: Path) -> None:
    plan = recipes.load(str(tiny(tmp_path)))
    other = dataclasses.replace(plan, data=dataclasses.replace(plan.data, revision="v3"))
    known = cinc2017.labels_by_record(cinc_like)
    turned = {name: (label + 1) % 4 for name, label in known.items()}  # as if a revision changed every label
    original = cinc2017.class_of
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            cinc2017,
            "class_of",
            lambda record, revision="v2": turned[record.name] if revision == "v3" else original(record),
        )
        assert run.training_sets(cinc_like, other)[1].names == run.training_sets(cinc_like, plan)[1].names


def test_a_place_that_cannot_be_written_is_said_before_the_work(cinc_like: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="expected a folder, or a name for a new one"):
        run.train(str(tiny(tmp_path)), cinc_like, tmp_path / "file")


@pytest.mark.parametrize(("share", "teacher"), [(0, "tiny"), (1.5, "tiny")])
def test_a_share_that_cannot_be_is_refused(tmp_path: Path, share: float, teacher: str) -> None:
    with pytest.raises(DataError, match=r"\[distillation\]"):
        recipes.load(str(taught(tmp_path, teacher, share)))
