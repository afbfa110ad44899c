# Habits of the house. `just --list` names them all.

python := ".venv/bin/python"
supported := "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))"
stamp := ".venv/.memewax-" + sha256(read("pyproject.toml") + read("constraints.txt"))

# List the recipes.
default:
    @just --list

# Install everything at exact versions, once; does nothing where it is done.
setup:
    @test -x {{ python }} || { \
        for it in python3 python3.12 python3.11; do \
            $it -c '{{ supported }}' 2>/dev/null && exec $it -m venv .venv; \
        done; true; }
    @{{ python }} -c '{{ supported }}' 2>/dev/null || { \
        echo "memewax: .venv needs Python 3.11 or 3.12: delete it, and make it by python3.11 -m venv .venv or python3.12 -m venv .venv" >&2; \
        exit 3; }
    @test -e {{ stamp }} || echo "memewax: installing, some minutes the first time"
    @test -e {{ stamp }} || {{ python }} -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
    @test -e {{ stamp }} || {{ python }} -m compileall -qq -j 0 .venv/lib || true  # on all cores; pip takes one
    @touch {{ stamp }}

# Run the real flow on sixty posts whose truth is known, and show what it found.
demo *args: setup
    .venv/bin/memewax demo {{ args }}

# All that CI runs: format, lint, types, tests; with arguments those tests alone: `just test -n0 --pdb PATH`.
test *args: setup
    {{ if args == "" { just_executable() + " lint types" } else { "true" } }}
    {{ python }} -m pytest -n 2 {{ args }}

# Check formatting and lint.
lint: setup
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .

# Check types.
types: setup
    .venv/bin/mypy

# Format, and mend what can be mended.
format: setup
    .venv/bin/ruff format .
    .venv/bin/ruff check --fix .

# Kill the flow many times over: the long form of the recovery tests.
soak: setup
    {{ python }} -m pytest -m slow tests/flows

# Stores with their servers: 100,000 posts in each kind, faults of a node, TLS. Needs the servers that their tests start.
stores: setup
    {{ python }} -m pytest -m slow tests/connectors

# Fire each alert once, by a fault that is provoked: the long form of the tests of monitoring.
alerts: setup
    {{ python }} -m pytest -m slow tests/monitoring

# The root folder of the image without an engine for containers, and a flow that runs in it. Needs root and debootstrap.
image folder="/tmp/memewax-root": setup
    k8s/image/build {{ folder }}
    k8s/image/check {{ folder }}

# Not asked for: digests of an image that is nowhere published, Always pulling an exact version, secrets as files where
# settings are variables, an account for who works with one, and another user in Kafka's own image.
# What a linter of manifests says of each overlay.
policies folder="/tmp/memewax-policies": setup
    test -x {{ folder }}/.venv/bin/checkov || { {{ python }} -m venv {{ folder }}/.venv && {{ folder }}/.venv/bin/pip install --quiet checkov==3.3.30; }
    for it in k8s/overlays/*; do \
        kubectl kustomize $it > {{ folder }}/$(basename $it).yaml && LOG_LEVEL=ERROR {{ folder }}/.venv/bin/checkov \
            --framework kubernetes --compact --quiet --file {{ folder }}/$(basename $it).yaml \
            --skip-check CKV_K8S_15,CKV_K8S_35,CKV_K8S_38,CKV_K8S_40,CKV_K8S_43 || exit; done

# All of k8s/README.md, done by a test: killed, cut off, rescaled, upgraded, backed up, restored. Needs root and kubectl.
kubernetes: setup
    {{ python }} -m pytest -m slow tests/kubernetes

# Draw the panels of the dashboard over a run of some minutes that Prometheus watches.
panels folder="docs/panels" seconds="240": setup
    {{ python }} -m tests.monitoring.draw {{ folder }} {{ seconds }}

# Every arrangement of OCR beside EasyOCR as it comes: `just ocr --data PATH --limit 40`.
ocr *args: setup
    .venv/bin/memewax bench ocr --json {{ args }}

# Embeddings a second among 1,000 live clusters: river's own clusterer and ours.
clustering *args: setup
    .venv/bin/memewax bench clusters --json {{ args }}

# What fetching many images at a time gains, from a server that takes 50 ms for each.
fetching *args: setup
    .venv/bin/memewax bench fetch --json {{ args }}

# What the flow itself costs; `just overhead --brokers HOST:PORT` measures Kafka too.
overhead *args: setup
    .venv/bin/memewax bench overhead --json {{ args }}

# How long an answer takes; `just similarity --store DIR --brokers HOST:PORT` measures end to end too.
similarity *args: setup
    .venv/bin/memewax bench similarity --json {{ args }}

# What a store and its writer weigh while a million posts come.
growth *args="--posts 1000000": setup
    .venv/bin/memewax bench growth --json {{ args }}

# What a hundred deletes a second cost a store of a million posts, and whether its room returns.
deleting *args="--posts 1000000": setup
    .venv/bin/memewax bench deletes --json {{ args }}

# Deletes amid kills, many worlds by seed: `just forgetting 0 20` and `just forgetting 20 20` are two slices.
forgetting first="0" worlds="20": setup
    FORGETTING_WORLDS={{ first }}:{{ worlds }} {{ python }} -m pytest -n 2 -m slow tests/flows/test_removals.py

# How fast the page answers 20 readers while its store is written; `just looking --posts 1000000` for a million.
looking *args: setup
    .venv/bin/memewax bench page --json {{ args }}

# What the cache saves where posts show images that came before; `just reposts --data FOLDER` for your own.
reposts *args: setup
    .venv/bin/memewax bench reposts --json {{ args }}

# What a hit of the cache takes among 20,000 images, and what a cache weighs while a million keys come.
caching *args="--keys 1000000 --images 20000": setup
    .venv/bin/memewax bench cache --json {{ args }}

# Build the documentation site; a warning is an error.
docs folder="docs/_site": setup
    {{ python }} -m sphinx -q -W --keep-going -b html -c docs . {{ folder }}

# Build the wheel, install it into an empty environment outside the checkout, and run the demo there.
wheel folder="/tmp/memewax-wheel": setup
    rm -rf {{ folder }} && mkdir -p {{ folder }}/source
    cp -r core models connectors search operators dataflows memewax pyproject.toml README.md LICENSE {{ folder }}/source
    {{ python }} -m pip wheel --quiet --no-deps --no-build-isolation -w {{ folder }} {{ folder }}/source
    {{ python }} -m venv {{ folder }}/.venv
    {{ folder }}/.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
        "$(echo {{ folder }}/memewax-*.whl)[demo]"
    cd {{ folder }} && .venv/bin/memewax demo

# Measure every model on a folder of data with its truth: `just eval DATA` (docs/quality.md says in which form).
eval data: setup
    for it in ocr:memes_text clusters:memes_template entities:entities sentiment:sentiment similarity:similarity; do \
        test ! -e {{ data }}/${it#*:} || .venv/bin/memewax eval ${it%:*} --data {{ data }}/${it#*:} --save || exit; done
