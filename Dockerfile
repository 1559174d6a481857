# cellflow on the command line, on a CPU:
#   docker build --tag cellflow .
#   docker run --rm --volume "$PWD:/data" cellflow fit cells.h5ad --time-key hours --out fitted.h5ad
FROM python:3.11-slim

# The number of the first user of most machines, so that files in /data can be written.
RUN useradd --create-home --uid 1000 cellflow

WORKDIR /opt/cellflow
COPY constraints.txt ./
# The CPU build; the default of PyPI on Linux has gigabytes of CUDA.
RUN pip install --no-cache-dir --constraint constraints.txt \
    --index-url https://download.pytorch.org/whl/cpu torch
COPY pyproject.toml README.md LICENSE ./
COPY data data
COPY cellflow cellflow
RUN pip install --no-cache-dir --constraint constraints.txt .

USER 1000
WORKDIR /data
ENTRYPOINT ["cellflow"]
CMD ["--help"]
