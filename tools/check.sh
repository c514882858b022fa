#!/usr/bin/env bash
# Every static check, the same here as in CI. All of them run, so that one call shows all there is to mend.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
failed=()

step() { # name, command…
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}

breaking_changes() { # against the last release; nothing is promised before the first
  local release
  release=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || { echo "no release yet to compare with"; return 0; }
  buf breaking --against ".git#tag=$release"
}

types() { # folders without a Python file are an error to mypy
  mapfile -t scripts < <(find bench examples -name '*.py')
  mypy libs services tests tools "${scripts[@]}"
}

step "format" ruff format --check --quiet
step "lint" ruff check --quiet
step "types" types
step "import layers" lint-imports
step "protocol" buf lint
step "protocol compatibility" breaking_changes
step "dead code" python -m tools.dead_code
step "compliance" python -m tools.compliance --check
step "house rules" python -m pytest -q -p no:cacheprovider tests/unit/test_house_rules.py

if ((${#failed[@]})); then
  printf 'check failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "check passed"
