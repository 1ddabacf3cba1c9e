"""The studies of workflow/ expand into jobs that their notebooks can run."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

import link_data  # noqa: E402
import scores  # noqa: E402
import studies  # noqa: E402
import sweep  # noqa: E402

# jobs of each stage: what docs/scale.md says
COUNTS = {
    "smoke": {"n2v": 1, "unet": 2 * 3 * 2},
    "voidseg_small": {"n2v": 2, "unet": 2 * 2 * 3 * 2},
    "voidseg": {"n2v": 3, "unet": 3 * 4 * 10 * 5},
    "hitif": {"initialisation": 4, "composition": 3, "length": 3, "patches": 4, "augmentation": 6},
    "em_architectures": {"em_unet": 9 * 3},
    "afm_cv": {"depth": 4 * 5, "loss": 4 * 5, "encoder": 3 * 5},
    "embedseg_ablation": {"embedseg": 7 * 3},
}
SHIPPED = sorted(path.stem for path in studies.STUDIES.glob("*.yaml"))


def write_study(folder, **stages):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"title": "mine", "stages": stages}, sort_keys=False))
    return path


def stage(**facts):
    return {"notebook": "08_embedseg", "seconds": 10, **facts}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_have_the_jobs_that_the_documentation_states(name):
    jobs = studies.load_study(name).jobs
    stages = dict.fromkeys(job.stage for job in jobs)
    assert {s: sum(job.stage == s for job in jobs) for s in stages} == COUNTS[name]
    assert len({job.name for job in jobs}) == len(jobs)
    assert all("/" not in job.name and " " not in job.name for job in jobs)


def test_every_count_has_a_study():
    assert SHIPPED == sorted(COUNTS)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_parameter_is_one_of_its_notebook_and_no_two_jobs_share_a_run(name):
    runs, jobs = set(), studies.load_study(name).jobs
    known = {n: set(studies.notebook_parameters(n)) for n in {job.notebook for job in jobs}}
    for job in jobs:
        assert set(job.parameters) <= known[job.notebook]
        added = sorted(studies.NAMED_BY_NOTEBOOK.get(job.notebook, ()))
        run = (job.notebook, *(str(job.parameters.get(k)) for k in ("DATASET", "RUN_NAME", *added)))
        assert run not in runs
        runs.add(run)


def settings_of(notebook):
    """Return the names that the presets of a notebook set."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    source = next(c.source for c in cells if c.source.lstrip().find("PRESETS = {") >= 0)
    names = {}
    body = source.split("preset = choose_preset")[0]
    exec(body, names)  # the presets are literals  # noqa: S102
    return set(names["PRESETS"]["sample"]), names["PRESETS"]


@pytest.mark.parametrize("name", SHIPPED)
def test_changed_settings_exist_in_the_presets(name):
    used = {(job.notebook, key) for job in studies.load_study(name).jobs
            for key in job.parameters.get("SETTINGS", {})}  # fmt: skip
    for notebook in {notebook for notebook, _ in used}:
        known, _ = settings_of(notebook)
        assert {key for other, key in used if other == notebook} <= known


@pytest.mark.parametrize("name", ["voidseg", "voidseg_small", "smoke"])
def test_labelled_patches_are_nested_over_the_fractions(name):
    from helpers.label_budget import choose_labelled

    jobs = [job for job in studies.load_study(name).jobs if job.stage == "unet"]
    n_patches = 3800 if name == "voidseg" else 96
    for seed in {job.parameters["SEED"] for job in jobs}:
        counts = sorted({job.parameters["N_LABELLED"] for job in jobs})
        chosen = [set(choose_labelled(n_patches, k, seed)) for k in counts]
        assert all(a < b for a, b in zip(chosen, chosen[1:], strict=False))


def test_published_fractions_are_those_of_the_paper():
    from helpers.label_budget import FRACTIONS, count_labelled

    jobs = studies.load_study("voidseg").jobs
    counts = sorted({job.parameters.get("N_LABELLED", 0) for job in jobs} - {0})
    assert counts == [count_labelled(3800, fraction) for fraction in FRACTIONS]


def test_jobs_wait_for_the_denoiser_of_their_own_data():
    study = studies.load_study("voidseg_small")
    for job in study.jobs:
        expected = (f"n2v-{job.parameters['DATASET']}",) if job.stage == "unet" else ()
        assert job.after == expected


def test_vary_is_a_grid_and_cases_change_together(tmp_path):
    path = write_study(
        tmp_path,
        embedseg=stage(
            set={"DATASET": "worms_sim"},
            vary={"SEED": [1, 2]},
            cases=[{}, {"CENTER": "centroid"}, {"SETTINGS": {"steps": 5, "tta": False}}],
        ),
    )
    names = [job.name for job in studies.load_study(path).jobs]
    assert names == [
        "embedseg-seed1",
        "embedseg-seed2",
        "embedseg-centroid-seed1",
        "embedseg-centroid-seed2",
        "embedseg-steps5_ttafalse-seed1",
        "embedseg-steps5_ttafalse-seed2",
    ]
    last = studies.load_study(path).jobs[-1]
    assert last.parameters == {
        "DATASET": "worms_sim",
        "SEED": 2,
        "SETTINGS": {"steps": 5, "tta": False},
        "RUN_NAME": "embedseg_steps5_ttafalse_seed2",  # the seed last, for notebook 10
    }


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (dict(vary={"CENTRE": ["medoid"]}), "08_embedseg has no parameter CENTRE; .* CENTER?"),
        (dict(cases=[{"SEEED": 1}]), "no parameter SEEED"),
        (dict(vary={"SEED": 3}), r"vary.SEED is 3, give a list"),
        (dict(notebook="08_embedsegg"), "there is no notebook '08_embedsegg'"),
        (dict(after="first"), "after is 'first', which is no stage above"),
        (dict(minutes=3), "'minutes' is none of"),
        (dict(set={"RUN_NAME": "one"}, vary={"SEED": [1, 2]}), "two jobs would write the same run"),
    ],
)
def test_errors_name_stage_and_mend(tmp_path, facts, message):
    with pytest.raises(ValueError, match=message):
        studies.load_study(write_study(tmp_path, embedseg=stage(**facts)))


def test_errors_of_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no study 'voidsegg': choose one of .*voidseg"):
        studies.load_study("voidsegg")
    with pytest.raises(FileNotFoundError, match="gone.yaml does not exist"):
        studies.load_study(tmp_path / "gone.yaml")
    with pytest.raises(ValueError, match="embedseg does not state seconds"):
        studies.load_study(write_study(tmp_path, embedseg={"notebook": "08_embedseg"}))
    (tmp_path / "empty.yaml").write_text("title: nothing\n")
    with pytest.raises(ValueError, match="a study has a title and `stages`"):
        studies.load_study(tmp_path / "empty.yaml")


def test_data_sets_of_a_job_are_those_of_parameters_and_notebook(tmp_path):
    facts = stage(set={"DATASET": "nuclei"})
    (job,) = studies.load_study(write_study(tmp_path, embedseg=facts)).jobs
    assert studies.datasets_of(job) == ["nuclei", "nuclei_3d"]  # the last section's sample
    (job,) = studies.load_study(write_study(tmp_path, embedseg=stage())).jobs
    assert studies.datasets_of(job) == ["worms_sim", "nuclei_3d"]  # the notebook's default
    facts = {"notebook": "06_fpn_watershed", "seconds": 1, "cases": [{"TRAIN_ALSO": ["nuclei"]}]}
    (job,) = studies.load_study(write_study(tmp_path, fpn=facts)).jobs
    assert studies.datasets_of(job) == ["nuclei_sim", "nuclei"]


def test_estimate_takes_what_was_measured(tmp_path):
    study = studies.load_study("voidseg_small")
    first, second = (job.name for job in study.jobs if job.stage == "n2v")
    (tmp_path / "times").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "times" / f"{first}.tsv").write_text("s\th:m:s\n90.0\t0:01:30\n")
    (tmp_path / "times" / f"{second}.tsv").write_text("s\th:m:s\n7.0\t0:00:07\n")
    (tmp_path / "notebooks" / f"{first}.ipynb").touch()  # the second one failed: it does not count
    measured = sweep.measured_seconds(tmp_path)
    assert measured == {first: 90.0}
    n2v, unet = sweep.estimate(study, measured)
    assert (n2v["left"], n2v["seconds"], n2v["hours"]) == (1, 90.0, 90 / 3600)
    assert n2v["source"] == "mean of 1 done"
    assert (unet["left"], unet["source"]) == (24, "stated in the study")
    assert unet["hours"] == pytest.approx(24 * unet["seconds"] / 3600)
    assert len(sweep.failed_jobs(study, tmp_path)) == 25


def test_memory_that_no_machine_has_is_refused(tmp_path):
    jobs = studies.load_study(write_study(tmp_path, embedseg=stage(mem_mb=10**10))).jobs
    with pytest.raises(ValueError, match="embedseg needs 10000000000 MB of memory"):
        sweep.check_memory(jobs, sweep.local_limits()[1])
    cores, memory, _ = sweep.local_limits(2)
    assert cores == 2 and memory > 100
    sweep.check_memory(studies.load_study("smoke").jobs, 10**6)
    jobs = studies.load_study(write_study(tmp_path, embedseg=stage(mem_mb=3000, gpu=1))).jobs
    assert sweep.count_places(jobs, 8, 16000, 8) == 5  # memory decides
    assert sweep.count_places(jobs, 8, 16000, 1) == 1  # the one GPU decides
    assert sweep.count_places(jobs, 8, 2000, 8) == 1  # never none


def test_command_line_has_study_and_folder():
    paths = Path("to"), Path("profile")
    command = sweep.snakemake_command("smoke", *paths, ["-k"], ["all"], "--dry-run", partial=1)
    assert command[1:3] == ["-m", "snakemake"] and command[-2:] == ["--", "all"]
    assert {"study=smoke", "partial=1", "-k", "--dry-run"} <= set(command)


def test_a_study_is_run_once_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with sweep.only_one(tmp_path):
        with pytest.raises(ValueError, match="another sweep works on"):
            with sweep.only_one(tmp_path):
                pass
    with sweep.only_one(tmp_path):
        pass  # free again


def test_unknown_study_and_profile_end_with_a_sentence(capsys, tmp_path):
    assert sweep.main(["nothing", "--to", str(tmp_path)]) == 2
    assert "there is no study 'nothing'" in capsys.readouterr().err
    assert sweep.main(["smoke", "--profile", str(tmp_path), "--to", str(tmp_path)]) == 2
    assert "has no config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_profiles_keep_the_promises(profile):
    path = studies.ROOT / "workflow" / "profiles" / profile / "config.yaml"
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert facts["keep-going"] and facts["rerun-incomplete"] and facts["restart-times"] >= 1
    assert facts["rerun-triggers"] == ["mtime", "params"]  # not "code": done jobs stay done
    assert (facts.get("executor") == "slurm") == (profile == "slurm")


def write_run(root, method, parameters, ap):
    folder = root / "cells" / method
    folder.mkdir(parents=True)
    summary = {"dataset": "cells", "method": method, "seed": 1, "n_test": 8,
               "scores": {"ap_50": ap}, "baseline": {"method": "Otsu", "ap_50": 0.1},
               "seconds_train": 2.0, "seconds_predict": 1.0}  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "params.json").write_text(json.dumps({"seed": 1, "parameters": parameters}))


def test_table_of_scores_shows_what_varied(tmp_path):
    write_run(tmp_path, "a", {"rate": 1, "scheme": "Baseline", "batch": 2}, 0.5)
    write_run(tmp_path, "b", {"rate": 1, "scheme": "Sequential", "batch": 4}, 0.75)
    write_run(tmp_path, "denoiser", {"rate": 7}, 0.0)  # of another kind: its rate is no variation
    (tmp_path / "cells" / "unfinished").mkdir()
    rows = scores.collect_rows(tmp_path)
    assert [(row["scheme"], row["batch"], row["ap_50"]) for row in rows] == [
        ("Baseline", 2, 0.5),
        ("Sequential", 4, 0.75),
        (None, None, 0.0),
    ]
    assert all("rate" not in row and row["baseline_ap_50"] == 0.1 for row in rows)
    scores.write_table(rows, tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert len(lines) == 4 and lines[0].startswith("dataset,method,seed,n_test,scheme")


def test_means_are_over_seeds_and_folds_alone(tmp_path):
    for fold, ap in ((1, 0.5), (2, 0.7)):
        write_run(
            tmp_path,
            f"unet_fold{fold}_seed1",
            {"fold": fold, "levels": 4, "without": ["noise"]},
            ap,
        )
    write_run(tmp_path, "wide", {"fold": 1, "levels": 5, "without": []}, 0.9)
    four, five = scores.average_rows(scores.collect_rows(tmp_path))
    assert (four["levels"], four["without"], four["n_runs"]) == (4, '["noise"]', 2)
    assert four["ap_50"] == pytest.approx(0.6)
    assert four["ap_50_sd"] == pytest.approx(0.1 * 2**0.5)  # of 0.5 and 0.7
    assert (five["levels"], five["ap_50"], five["ap_50_sd"]) == (5, 0.9, None)
    assert not {"fold", "seed", "baseline_ap_50"} & four.keys() and four["method"] == "unet"


def test_data_are_linked_and_not_copied(tmp_path, monkeypatch):
    shared = tmp_path / "data"
    folder = shared / "samples" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("MICROSEG_DATA", str(shared))
    found = {"mine": folder, "own": tmp_path / "own"}
    monkeypatch.setattr(link_data, "resolve_dataset", found.get)
    for _ in range(2):  # once more changes nothing
        link_data.main("mine", tmp_path / "study")
    assert (tmp_path / "study" / "samples" / "mine").resolve() == folder
    link_data.main("own", tmp_path / "study")
    assert [p.name for p in (tmp_path / "study").iterdir()] == ["samples"]


def test_jobs_keep_their_figures():
    text = (ROOT / "workflow" / "Snakefile").read_text(encoding="utf-8")
    shells = text.split("shell:")[1:]
    papermill = [shell for shell in shells if "papermill" in shell]
    # a backend from the environment would replace the one that puts figures into notebooks
    assert len(papermill) == 2 and all("unset MPLBACKEND" in shell for shell in papermill)
