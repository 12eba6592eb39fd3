# Airflow and the project in one image: for docker-compose.yaml, and as a base for Kubernetes or any registry.
# The slim image holds Airflow alone, so that what is installed is what requirements.lock says and nothing beside it.
FROM apache/airflow:slim-3.3.2-python3.11

# pg_dump must be at least as new as the server, and a drill restores with the programs of its own server: 15 to 18 from
# PostgreSQL's repository, side by side in /usr/lib/postgresql/<version>/bin, pg_amcheck among them.
USER root
RUN rm -f /etc/apt/sources.list.d/pgdg.* \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && curl --fail --silent --show-error --location --output /usr/share/keyrings/pgdg.asc \
        https://www.postgresql.org/media/keys/ACCC4CF8.asc \
    && . /etc/os-release \
    && echo "deb [signed-by=/usr/share/keyrings/pgdg.asc] https://apt.postgresql.org/pub/repos/apt $VERSION_CODENAME-pgdg main" \
        >/etc/apt/sources.list.d/pgdg.list \
    && apt-get update \
    && apt-get install --yes --no-install-recommends \
        postgresql-client-15 postgresql-client-16 postgresql-client-17 postgresql-client-18 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*

USER airflow
COPY --chown=airflow:root requirements.lock requirements-celery.lock /tmp/requirements/
RUN pip install --no-cache-dir -r /tmp/requirements/requirements.lock -r /tmp/requirements/requirements-celery.lock \
    && airflow version

# Made here, so that the volumes mounted there begin with the right owner.
RUN mkdir -p /opt/airflow/auth /opt/airflow/logs

COPY --chown=airflow:root dags /opt/airflow/dags
COPY --chown=airflow:root plugins /opt/airflow/plugins
COPY --chown=airflow:root include /opt/airflow/include
COPY --chown=airflow:root sandbox /opt/airflow/sandbox
COPY --chown=airflow:root airflow_settings.yaml /opt/airflow/airflow_settings.yaml
