"""As much of Django, standardwebhooks and requests as the code of
docs/from-django-athm.md touches, so that a test runs that code word for word."""

import contextlib, json, sys, types
from types import SimpleNamespace


def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


class Row:
    """A row of a model. save() writes the named fields and no others."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def save(self, update_fields):
        type(self).objects.saved.append(sorted(update_fields))


class Manager:
    def __init__(self, model):
        self.model, self.rows, self.saved = model, [], []

    def filter(self, **fields):
        found = [r for r in self.rows if all(getattr(r, k, None) == v for k, v in fields.items())]
        return SimpleNamespace(
            update=lambda **new: [r.__dict__.update(new) for r in found] and len(found),
            exists=lambda: bool(found),
        )

    def get(self, **fields):
        for row in self.rows:
            if all(getattr(row, k, None) == v for k, v in fields.items()):
                return row
        raise LookupError("DoesNotExist")

    def get_or_create(self, **fields):
        try:
            return self.get(**fields), False
        except LookupError:
            self.rows.append(self.model(**fields))
            return self.rows[-1], True


class Model(Row):
    def __init_subclass__(cls):
        cls.objects = Manager(cls)


@contextlib.contextmanager
def atomic():
    before = {model: list(model.objects.rows) for model in Model.__subclasses__()}
    try:
        yield
    except BaseException:
        for model, rows in before.items():
            model.objects.rows = rows
        raise


class Answer:
    def __init__(self, status=200, data=None):
        self.status_code, self.data = status, data


class Unverified(Exception):
    pass


class Webhook:
    def __init__(self, secret):
        pass

    def verify(self, body, headers):
        if headers.get("Webhook-Signature") != "good":
            raise Unverified
        return json.loads(body)


answers, asked = [], []  # what Cobro answers next, and what it was asked


def request(method, url, headers, timeout, json=None):
    asked.append([method, url, headers.get("Idempotency-Key", ""), json])
    status, body = answers.pop(0)
    return SimpleNamespace(status_code=status, json=lambda: body)


def same(view):
    return view


settings = SimpleNamespace(SHOP_WEBHOOK_SECRET="whsec_", COBRO_API_KEY="key", COBRO_API="")
module("django")
module("django.conf", settings=settings)
module("django.db", models=SimpleNamespace(Model=Model, CharField=lambda **_: None, DateTimeField=lambda **_: None),
       transaction=SimpleNamespace(atomic=atomic))
module("django.http", HttpResponse=Answer, JsonResponse=lambda data, status=200: Answer(status, data))
module("django.shortcuts", get_object_or_404=lambda model, **fields: model.objects.get(**fields))
module("django.contrib")
module("django.contrib.auth")
module("django.contrib.auth.decorators", login_required=same)
module("django.views")
module("django.views.decorators")
module("django.views.decorators.csrf", csrf_exempt=same)
module("django.views.decorators.http", require_POST=same)
module("standardwebhooks")
module("standardwebhooks.webhooks", Webhook=Webhook, WebhookVerificationError=Unverified)
module("requests", request=request)
