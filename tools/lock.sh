#!/usr/bin/env bash
# Pin what the distributions need (requirements.lock) and what their tests and checks need beside it (requirements-dev.lock).
# Already pinned versions stay; `tools/lock.sh --upgrade` moves them.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
options=(--quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate
         --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options "$@")
"$bin/python" tools/lock_inputs.py | "$bin/pip-compile" "${options[@]}" --output-file requirements.lock -
"$bin/pip-compile" "${options[@]}" --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.in
