"""One of everything that addresses name, and people of every standing to ask for it."""

from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.db.models import Model

from graders import hosts
from graders.models import Evaluation, Job
from hub.accounts.models import ApiToken, User
from hub.accounts.services import create_token
from hub.audit.models import Event
from tests.api.conftest import add
from tests.factories import make_moderator, make_user
from tests.security.addresses import Address
from tests.web.conftest import measure


@dataclass
class Scene:
    """`ada` owns a public and a private version, both measured; each person has a token."""

    people: dict[str, User]
    public: Evaluation
    private: Evaluation
    tokens: dict[str, ApiToken]
    objects: dict[str, Model]

    @property
    def ada(self) -> User:
        return self.people["owner"]

    def path(self, address: Address, *, private: bool = False) -> str:
        """An example of an address, of what only its owner and moderators see if `private`."""
        return address.filled(self._values(address, self.private if private else self.public))

    def _values(self, address: Address, evaluation: Evaluation) -> dict[str, Any]:
        version = evaluation.version
        return {
            "owner": self.ada.username,
            "name": version.environment.name,
            "package": version.package,
            "version": version.number,
            "number": 1 if address.is_api else version.number,
            "task": 11,
            "rollout": 1,
            "evaluation": evaluation.pk,
            "pk": evaluation.pk,
            "key": self.tokens["owner"].key,
            "uidb36": "1",
            "app_label": "environments",
            "url": "nothing/",
            "content_type_id": 1,
            "id": self.ada.pk,
            "object_id": self._object(address).pk if "<object_id>" in address.pattern else 0,
        }

    def _object(self, address: Address) -> Model:
        return self.objects.get(address.pattern.split("/")[3], self.ada)


def make_scene() -> Scene:
    """Rows that the services made."""
    people = {
        "other": make_user("olga"),
        "member": make_user("milo"),
        "owner": make_user("ada", email="ada@example.org"),
        "moderator": make_moderator(is_staff=True),
        "administrator": make_user("boss", is_staff=True, is_superuser=True),
        "banned": make_user("bea"),
    }
    EmailAddress.objects.create(user=people["owner"], email="ada@example.org", verified=True)
    public = measure(add(people["owner"], "coins", approve=True))
    private = measure(add(people["owner"], "secret"))
    tokens = {
        name: create_token(user=user, name="laptop", actor=user)[0] for name, user in people.items()
    }
    User.objects.filter(pk=people["banned"].pk).update(is_active=False)
    objects = {
        "event": Event.objects.latest("id"),
        "group": people["moderator"].groups.get(),
        "apitoken": tokens["owner"],
        "environment": public.version.environment,
        "referencemodel": public.model,
        "profile": public.profile,
        "evaluation": public,
        "job": Job.objects.filter(evaluation=public).latest("id"),
        "version": private.version,
        "user": people["owner"],
        "host": hosts.record(hostname="one", driver="docker", pythons=["3.12.1"], warnings=[]),
    }
    return Scene(people, public, private, tokens, objects)
