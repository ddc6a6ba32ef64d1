"""Judges deployment files: python judge.py FOLDER [--helm PROGRAM] [--checker FILE --checker-flags FLAGS]

Each FOLDER/*.yaml against the strict schemas of every version of Kubernetes from 1.27 on (kubernetes-validate). With
--helm the chart beside a file, of the same name and .tar.gz, must render the same objects as the file holds. With
--checker that program judges each file too. Says what is wrong; exit status 1 then.
"""

import argparse
import contextlib
import functools
import io
import json
import pathlib
import runpy
import subprocess
import sys
import tarfile
import tempfile

import kubernetes_validate
import kubernetes_validate.utils as utils
import yaml

# A megabyte for each version: read once.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)

# Objects that are not Kubernetes' own; --checker knows their schemas.
OTHERS = ("cert-manager.io/", "gateway.networking.k8s.io/", "networking.istio.io/", "route.openshift.io/",
          "security.istio.io/", "security.openshift.io/")
OLDEST = (1, 27)


def versions():
    found = [version for version in utils.all_versions() if "strict" not in version]
    return [version for version in found if tuple(map(int, version.split(".")[:2])) >= OLDEST]


def objects(text):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, loader) if document]


def key(document):
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


def schema_faults(document, judged):
    text = json.dumps(document, sort_keys=True)
    if text in judged:
        return []
    judged.add(text)
    faults = []
    for version in versions():
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except utils.SchemaNotFoundError as error:
            if not document["apiVersion"].startswith(OTHERS):
                faults.append(error.message)
        except utils.ValidationError as error:
            faults.append(f"{version}: {list(error.absolute_path)}: {error.message}")
    return faults


def rendering_faults(helm, chart, documents):
    namespaces = [document["metadata"].get("namespace") for document in documents]
    namespace = next(filter(None, namespaces))
    with tempfile.TemporaryDirectory() as folder:
        tarfile.open(chart).extractall(folder)
        inner = next(pathlib.Path(folder).iterdir())
        command = [helm, "template", "release", str(inner), "--namespace", namespace]
        output = subprocess.run(command, capture_output=True, text=True)
        if output.returncode:
            return [output.stderr]
        rendered = {key(document): document for document in objects(output.stdout)}
    wanted = {key(document): document for document in documents}
    faults = [f"only in the chart: {name}" for name in rendered.keys() - wanted.keys()]
    faults += [f"not in the chart: {name}" for name in wanted.keys() - rendered.keys()]
    for name in wanted.keys() & rendered.keys():
        if wanted[name] != rendered[name]:
            faults.append(f"differs: {json.dumps(wanted[name])} {json.dumps(rendered[name])}")
    return faults


def checker_faults(checker, flags, file):
    said = io.StringIO()
    sys.argv = [checker, *flags, str(file)]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            runpy.run_path(checker, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
    return [said.getvalue()] if code else []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--helm")
    parser.add_argument("--checker")
    parser.add_argument("--checker-flags", default="")
    given = parser.parse_args()
    judged, faults, files = set(), [], sorted(given.folder.glob("*.yaml"))
    for file in files:
        documents = objects(file.read_text())
        found = [fault for document in documents for fault in schema_faults(document, judged)]
        chart = file.with_suffix(".tar.gz")
        if given.helm and chart.exists():
            found += rendering_faults(given.helm, chart, documents)
        if given.checker:
            found += checker_faults(given.checker, given.checker_flags.split(), file)
        faults += [f"{file.name}: {fault}" for fault in found]
    print("\n".join(faults[:20]))
    print(f"{len(files)} files, {len(judged)} objects, Kubernetes {versions()[0]} to {versions()[-1]}")
    sys.exit(1 if faults or not files else 0)


main()
