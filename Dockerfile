# docker build -t countermark .
# docker run --rm --network none -v "$PWD:/data:ro" countermark scan /data
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/countermark \
 && /opt/countermark/bin/pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu \
 && /opt/countermark/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 countermark
COPY --from=build /opt/countermark /opt/countermark
ENV PATH=/opt/countermark/bin:$PATH \
    COUNTERMARK_HOME=/home/countermark/.countermark \
    PYTHONDONTWRITEBYTECODE=1
USER countermark
WORKDIR /data
ENTRYPOINT ["countermark"]
CMD ["--help"]
