# make demo    set up, then verdicts on the example pictures and videos
# make test    set up, then the tests
# make test-web  set up the web app, too, then its tests in a browser
# make lint    set up, then ruff
# make bench   set up, then how fast it is, in about twenty minutes
# make clean   remove the environment
#
# Needs python3 (3.11 to 3.13) with venv, and a package index that pip can reach.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Not a model of one's own beside the scripts.
SHIPPED := -m models/liveness.h5 -l models/label_encoder.pickle

# Stamps: what is installed already is not installed again.
INSTALLED := $(VENV)/.installed
DEV_INSTALLED := $(VENV)/.dev-installed
WEB_INSTALLED := $(VENV)/.web-installed

.DELETE_ON_ERROR:
.PHONY: demo test test-web lint bench system-libraries test-screen clean

demo: $(INSTALLED) system-libraries
	@echo "== pictures: two portraits as they are, and shown on a phone and a print"
	$(BIN)/python liveness_app_from_picture.py $(SHIPPED) -i images/reals images/fakes
	@echo "== video: a portrait before a moving camera"
	$(BIN)/python liveness_app.py $(SHIPPED) --source videos/real_1.mp4 --no-display
	@echo "== video: the same on a simulated phone"
	$(BIN)/python liveness_app.py $(SHIPPED) --source videos/fake_1.mp4 --no-display
	@echo "== to go on with README.md: . $(BIN)/activate"

test: $(DEV_INSTALLED) system-libraries test-screen
	$(BIN)/python -m pytest -q -ra --ignore tests/web

test-web: $(DEV_INSTALLED) $(WEB_INSTALLED) system-libraries test-screen
	$(BIN)/python -m pytest -q -ra tests/web

lint: $(DEV_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports --no-cache

bench: $(INSTALLED) system-libraries
	$(BIN)/python -m benchmarks.run_all

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.txt requirements-no-deps.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps -r requirements-no-deps.txt
	@touch $@

$(DEV_INSTALLED): requirements-dev.txt $(INSTALLED)
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	@touch $@

$(WEB_INSTALLED): requirements-web.txt $(INSTALLED)
	$(BIN)/python -m pip install -q -r requirements-web.txt
	@touch $@

# OpenCV needs two libraries that a slim Linux image lacks. Root gets them here,
# anybody else is told.
system-libraries: $(INSTALLED)
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing libgl1 and libglib2.0-0 for OpenCV"; \
	    apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends libgl1 libglib2.0-0; \
	  fi; \
	  $(BIN)/python -c 'import cv2'; }

# The tests of the window need a virtual screen, those of the report and the web app a
# browser; without them they are skipped.
test-screen:
	@{ command -v Xvfb && command -v xdotool && command -v chromium && command -v chromedriver; } >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing xvfb, xdotool, chromium and chromium-driver for tests"; \
	    { apt-get update -qq && \
	      apt-get install -y -qq --no-install-recommends \
	        xvfb xdotool chromium chromium-driver; } || \
	    echo "that failed: the tests that need them will be skipped"; \
	  else \
	    echo "no Xvfb, xdotool, chromium or chromedriver: the tests that need them will be skipped"; \
	  fi; }
