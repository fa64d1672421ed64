# One image for web, worker, beat and the preparation before them; compose names the command of each.
FROM python:3.11-slim AS built
WORKDIR /srv/countersign
COPY requirements/run.txt requirements/run.txt
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/run.txt
COPY . .
# The key of this folder is only for these steps, and stays out of the image. The second compiles the templates.
RUN export DATA_DIR=/tmp/build STATIC_COLLECTED=1 && .venv/bin/python manage.py collectstatic --noinput -v 0 \
    && .venv/bin/python -c "import config.wsgi" && rm -r /tmp/build

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /srv/countersign countersign
COPY --from=built /srv/countersign /srv/countersign
WORKDIR /srv/countersign
RUN install -d -o countersign -g countersign -m 700 /data
USER countersign
ENV PATH=/srv/countersign/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    STATIC_COLLECTED=1 HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
EXPOSE 8080
CMD ["python", "manage.py", "start", "web"]
