from django.urls import path

from environments import views

urlpatterns = [
    path("environments/", views.browse, name="browse"),
    path("environments/<str:owner>/<str:package>/<str:number>/", views.package, name="package"),
    path("upload/", views.upload, name="upload"),
    path("<str:owner>/", views.owner, name="owner"),
]
