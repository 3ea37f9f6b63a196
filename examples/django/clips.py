"""A Django site that asks for clips and shows how they get on: `python clips.py runserver`.

    curl -F picture=@rocket.jpg -F prompt='The rocket climbs' http://127.0.0.1:8000/clips
    curl http://127.0.0.1:8000/clips/JOB_ID

Needs `pip install django evergreen-video`. EVERGREEN_ENDPOINT is the service's HOST:PORT. In a site of your own, the
client is a value of a module too; who may do what, and the check against forged requests, are the site's.
"""

import sys
from uuid import uuid4

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from evergreen import CallError, Client, InvalidRequest, JobNotFound

# Opens at the first request, in each process and for all of its threads: also behind gunicorn's and Celery's forks.
client = Client()


def make(request: HttpRequest) -> HttpResponse:
    """Asks for a clip from a picture of any size; the same `order` is the same clip."""
    if request.method != "POST" or "picture" not in request.FILES:
        return JsonResponse({"error": "post a picture"}, status=400)
    clip = client.generate(
        project_id="django",
        scene_id="clips",
        model="gen4_turbo",
        ratio="1280:720",
        duration_seconds=5,
        prompt_text=request.POST.get("prompt", ""),
        image=request.FILES["picture"].read(),
        request_id=request.POST.get("order") or uuid4().hex,
    )
    return JsonResponse(clip.job.to_dict(), status=202)


def show(request: HttpRequest, job_id: str) -> HttpResponse:
    """Shows a clip's state, and cancels it on DELETE."""
    clip = client.job(job_id)
    return JsonResponse(clip.cancel().to_dict() if request.method == "DELETE" else clip.job.to_dict())


class Told:
    """Middleware: the service's refusals become answers, in its own words for people."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._answer(request)  # type: ignore[operator]  # Django gives the next view

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, CallError):
            return None
        status = 400 if isinstance(error, InvalidRequest) else 404 if isinstance(error, JobNotFound) else 503
        return JsonResponse({"error": error.message}, status=status)


urlpatterns = [path("clips", make), path("clips/<str:job_id>", show)]

if __name__ == "__main__":
    settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.Told"], USE_TZ=True)
    execute_from_command_line(sys.argv)
