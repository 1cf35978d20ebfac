# Sourced by scripts/demo and scripts/test: make_venv FOLDER EXTRAS makes a virtual environment with msa_jax in it.

make_venv() {
  local folder=$1 extras=$2 python=${PYTHON:-} candidate stamp
  if [ -z "$python" ]; then
    for candidate in python3.12 python3.13 python3.11 python3; do
      if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
      fi
    done
  fi
  if [ -z "$python" ]; then
    echo "needs Python 3.11, 3.12 or 3.13 (set PYTHON to one)" >&2
    return 1
  fi
  # Installed again only when what is asked for has changed.
  stamp="$(cat pyproject.toml) $extras"
  if [ "$(cat "$folder/installed$extras" 2>/dev/null)" != "$stamp" ]; then
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile -e ".$extras"
    printf '%s\n' "$stamp" > "$folder/installed$extras"
  fi
}
