"""Settings, all from the environment.

Without any, they are those of the embedded stack: its sockets lie in the data folder, and
secrets are made there on the first start. In production every service has an address.
"""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from csp.constants import NONCE, NONE, SELF

from hub import production
from hub.stack.paths import Paths

BASE_DIR = Path(__file__).resolve().parent.parent
PATHS = Paths.from_env()
PATHS.make()


def env(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


def secret_key() -> str:
    """The configured key, or one made once and kept in the data folder for its owner alone."""
    if configured := env("SECRET_KEY"):
        return configured
    path = PATHS.data / "secret-key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


def database() -> dict[str, Any]:
    """From `DATABASE_URL` (postgresql://user:password@host:port/name), else the embedded server."""
    pool = {"min_size": 1, "max_size": int(env("DATABASE_POOL", "8")), "timeout": 10}
    # A process that stands still inside a transaction would keep its locks for as long.
    idle = int(float(env("DATABASE_IDLE_SECONDS", "60")) * 1000)
    options = {"pool": pool, "options": f"-c idle_in_transaction_session_timeout={idle}"}
    common: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": options,
        # After a restart of the server the pool is full of connections to the old one.
        "CONN_HEALTH_CHECKS": True,
    }
    if not (url := env("DATABASE_URL")):
        return common | {
            "NAME": "practicum",
            "USER": "postgres",
            "HOST": PATHS.postgres_socket_dir,
        }
    parts = urlsplit(url)
    return common | {
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A socket's folder is not a host name: ?host=/folder, as libpq has it.
        "HOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PORT": str(parts.port or ""),
    }


# Behind a proxy that ends TLS, production sets HTTPS=1.
HTTPS = env("HTTPS") == "1"
if HTTPS:
    production.require(os.environ)

DEBUG = env("DEBUG") == "1"
SECRET_KEY = secret_key()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
SITE_NAME = env("SITE_NAME", "Practicum")
# Where holes are reported: mailto:… or https://…; served in /.well-known/security.txt.
SECURITY_CONTACT = env("SECURITY_CONTACT")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "django_htmx",
    "template_partials",
    "csp",
    "hub.audit",
    "hub.accounts",
    "environments",
    "graders",
    "hub.moderation",
    "hub.stack",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "hub.headers.HeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "hub.headers.AddressMiddleware",
]

ROOT_URLCONF = "hub.urls"
WSGI_APPLICATION = "hub.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hub.context.site",
            ],
        },
    }
]

DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "hub.accounts.adapter.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = env("EMAIL_VERIFICATION", "optional")
ACCOUNT_USERNAME_VALIDATORS = "hub.accounts.names.username_validators"
ACCOUNT_PRESERVE_USERNAME_CASING = False
ACCOUNT_LOGOUT_ON_GET = False
# Neither signing up nor asking for a new password says whether an address has an account.
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
# By address, by account (`key`: the name or email given) or by who is signed in.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/5m/ip,10/5m/key",
    "reauthenticate": "10/5m/user",
    "reset_password": "10/5m/ip,5/1h/key",
    "reset_password_from_key": "10/5m/ip",
    "signup": "20/1h/ip",
    "change_password": "10/5m/user",
    "manage_email": "10/5m/user",
    "confirm_email": "1/3m/key",
}

# Without a mail server, mail goes to the terminal.
EMAIL_HOST = env("EMAIL_HOST")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
EMAIL_PORT = int(env("EMAIL_PORT", "25"))
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = env("EMAIL_HOST_USER"), env("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env("EMAIL_USE_TLS") == "1"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", "practicum@localhost")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = PATHS.data / "static"
STORAGES = {
    "default": {
        "BACKEND": "environments.storage.DurableFileSystemStorage",
        "OPTIONS": {"location": PATHS.media},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
FILE_UPLOAD_TEMP_DIR = PATHS.work
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# No script reads them, and no other host of the domain can set them.
CSRF_COOKIE_HTTPONLY = True
if HTTPS:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# For every page, the administration's too: nothing inline without a nonce, nothing evaluated,
# nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "upgrade-insecure-requests": HTTPS,
    },
}

# How many proxies stand before the site; rate limits count the address that the first one saw.
PROXIES = int(env("PROXIES", "1" if HTTPS else "0"))
ALLAUTH_TRUSTED_PROXY_COUNT = PROXIES

REST_FRAMEWORK = {
    "NUM_PROXIES": PROXIES,
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "hub.accounts.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "hub.problems.handle",
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_PREFIX": "practicum_", "TOKEN_TTL": None}
# Its own table would only stand empty beside ours, and in the way of truncating.
MIGRATION_MODULES = {"knox": None}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105 - a model's name
SPECTACULAR_SETTINGS = {
    "TITLE": "Practicum",
    "DESCRIPTION": "Environments for reinforcement learning: find, pull, contribute, measure.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

# Rate limits count here.
CACHES = {
    "default": {
        "BACKEND": "hub.cache.LimitsCache",
        "LOCATION": env("CACHE_URL", f"unix://{PATHS.valkey_socket}?db=1"),
        "OPTIONS": {
            "serializer": "hub.cache.JsonSerializer",
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
        },
    }
}

CELERY_BROKER_URL = env("BROKER_URL", f"redis+socket://{PATHS.valkey_socket}?virtual_host=0")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "stats"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 200
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    # An upload does not wait long for a broker that is away: the sweeper will send its message.
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "max_retries": 1,
    "interval_start": 0.1,
}
CELERY_BEAT_SCHEDULE = {
    # What was not started by the next turn is dropped, so that turns do not pile up.
    "sweep": {"task": "graders.sweep", "schedule": 10.0, "options": {"expires": 10}},
    "reap": {"task": "graders.reap", "schedule": 300.0, "options": {"expires": 300}},
    "clean": {"task": "graders.clean", "schedule": 3600.0, "options": {"expires": 3600}},
}

# Running environments (docs/architecture.md).
SANDBOX_DRIVER = env("SANDBOX_DRIVER", "auto")
# For Docker an image for each Python, for bubblewrap interpreters (without any: those found).
SANDBOX_IMAGES = env_list("SANDBOX_IMAGES", "practicum-sandbox:latest")
SANDBOX_PYTHONS = env_list("SANDBOX_PYTHONS")
SANDBOX_DOCKER_RUNTIME = env("SANDBOX_DOCKER_RUNTIME") or None
# Where dependencies come from (without any: the index that uv uses here), what one build may
# use (graders/bundling/limits.py), and the disk that wheels and bundles may take on each worker.
PACKAGE_INDEX_URL = env("PACKAGE_INDEX_URL") or None
BUILD_LIMITS = {
    name: int(value)
    for name in (
        *("download_mb", "packages", "bundle_mb", "built_mb", "seconds", "memory_mb"),
        *("data_mb", "data_file_mb", "data_files", "bytecode_mb", "bytecode_seconds"),
    )
    if (value := env(f"BUILD_{name.upper()}"))
}
STORE_MB = int(env("STORE_MB", "20480"))
# Where a build may fetch data from: hosts, ".example.org" for all below one, whole origins for
# mirrors (docs/operations.md). The hub of data sets is what `load_dataset` asks.
DATA_HOSTS = env_list(
    "DATA_HOSTS",
    "huggingface.co,.huggingface.co,.hf.co,github.com,codeload.github.com,.githubusercontent.com,"
    "gitlab.com,zenodo.org,storage.googleapis.com,s3.amazonaws.com,dl.fbaipublicfiles.com,"
    "openaipublic.blob.core.windows.net,archive.ics.uci.edu,www.gutenberg.org",
)
DATA_HUB = env("DATA_HUB", "https://huggingface.co")

# The job engine (docs/operations.md), in seconds. A worker that stops beating loses its jobs when
# the lease ends; one that is told to stop has a grace for what it can finish, and gives back the
# rest.
JOB_LEASE_SECONDS = float(env("JOB_LEASE_SECONDS", "60"))
JOB_HEARTBEAT_SECONDS = float(env("JOB_HEARTBEAT_SECONDS", "15"))
JOB_GRACE_SECONDS = float(env("JOB_GRACE_SECONDS", "20"))

# What one person may use, unless the administration says otherwise (hub.accounts.quotas).
QUOTAS = {
    "uploads_per_hour": int(env("QUOTA_UPLOADS_PER_HOUR", "120")),
    "storage_mb": int(env("QUOTA_STORAGE_MB", "5120")),
    "running_evaluations": int(env("QUOTA_RUNNING_EVALUATIONS", "4")),
}
QUOTA_TRUSTED_FACTOR = int(env("QUOTA_TRUSTED_FACTOR", "10"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "hub.redaction.Formatter",
            "fmt": "{asctime} {levelname} {name}: {message}",
            "style": "{",
            "secrets": [SECRET_KEY, DATABASES["default"].get("PASSWORD", ""), EMAIL_HOST_PASSWORD],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        # At DEBUG it would write headers down, and the database's driver what it stores.
        "httpcore": {"level": "WARNING"},
        "django.db.backends": {"level": "INFO"},
        "django.security.DisallowedHost": {"level": "ERROR"},
    },
}
