FROM python:3.12-slim

COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY bench /src/bench
COPY scenarios /src/scenarios
RUN pip install --no-cache-dir --no-compile --constraint /src/constraints.txt /src && rm -rf /src \
    && useradd --create-home bench && mkdir /work && chown bench /work

# whoever runs it can write there: matplotlib keeps its list of fonts in it
ENV HOME=/tmp
USER bench
WORKDIR /work
ENTRYPOINT ["bench"]
CMD ["--help"]
