// Drag and drop and a true progress bar. Without this the form uploads all the same.
"use strict";
(() => {
  const form = document.querySelector("[data-upload]");
  const input = form.querySelector("input[type=file]");
  const drop = form.querySelector("[data-drop]");
  const live = form.querySelector("[data-progress]");
  const words = live.querySelector("[data-words]");
  const bar = live.querySelector("progress");
  const button = form.querySelector("button");
  const problems = document.getElementById("problems");
  const MiB = 2 ** 20;

  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  });

  const say = (title, text) => {
    const banner = document.createElement("div");
    banner.className = "banner bad";
    banner.setAttribute("role", "alert");
    const heading = document.createElement("h2");
    const line = document.createElement("p");
    heading.textContent = title;
    line.textContent = text;
    banner.append(heading, line);
    problems.replaceChildren(banner);
  };
  const rest = () => { live.hidden = true; button.disabled = false; };

  const answered = (request) => {
    if (request.status === 201) {
      location.assign(request.getResponseHeader("Location"));
      return;
    }
    rest();
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    const found = page.getElementById("problems");
    if (found && found.children.length) problems.replaceChildren(...found.children);
    else say(`The hub answered with status ${request.status}`, "Nothing was stored. Reload the page and try again.");
    problems.scrollIntoView({ block: "nearest" });
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = input.files[0];
    const limit = Number(form.dataset.limit);
    if (file.size > limit) {
      say("The archive is too large", `It has ${(file.size / MiB).toFixed(0)} MiB; at most ${limit / MiB} MiB are accepted. Remove data files, or fetch them elsewhere.`);
      return;
    }
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = 100 * loaded / total;
      words.textContent = loaded < total
        ? `Uploading: ${(loaded / MiB).toFixed(1)} of ${(total / MiB).toFixed(1)} MiB`
        : "Uploaded; the archive is being checked.";
    });
    request.addEventListener("load", () => answered(request));
    request.addEventListener("error", () => {
      rest();
      say("The connection broke", "Nothing was stored. Your file is still chosen: try again.");
    });
    problems.replaceChildren();
    live.hidden = false;
    button.disabled = true;
    words.textContent = "Uploading";
    request.send(new FormData(form));
  });
})();
