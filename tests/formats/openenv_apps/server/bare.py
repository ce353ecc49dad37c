"""A web app that is not OpenEnv's."""

from fastapi import FastAPI

app = FastAPI()
