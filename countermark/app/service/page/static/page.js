// Saves clicks and shows progress. Without it every form and link works all the same.
"use strict";

document.documentElement.classList.add("scripted");

const byId = (name) => document.getElementById(name);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/* --- handing in: drop, paste, choose ----------------------------------------------------------- */

function setUpDrop(form) {
  const zone = byId("zone"), input = byId("files"), list = byId("uploads"), status = byId("progress");
  const texts = form.dataset;
  let busy = false;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    handIn([...input.files]);
  });
  input.addEventListener("change", () => handIn([...input.files]));
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    handIn([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      handIn(files);
    }
  });

  async function handIn(files) {
    if (busy || !files.length) return;
    busy = true;
    list.replaceChildren();
    status.textContent = texts.uploading;
    const rows = files.map((file) => addRow(file));
    const answers = [];
    let next = 0;
    const work = async () => {
      while (next < files.length) {
        const at = next++;
        const answer = await send(files[at], rows[at], at);
        if (answer) answers.push(answer);
      }
    };
    await Promise.all([work(), work()]);
    busy = false;
    input.value = "";
    const failed = answers.length < files.length;
    status.textContent = failed ? texts.failed : "";
    if (!answers.length || (failed && answers.length === 0)) return;
    const count = answers.reduce((sum, answer) => sum + answer.entries.length, 0);
    const place = count === 1 ? answers[0].page : "/b/" + answers[0].batch;
    if (failed) await pause(2500);
    location.assign(place);
  }

  function addRow(file) {
    const row = document.createElement("li"), name = document.createElement("span");
    const bar = document.createElement("progress");
    name.textContent = file.name || "picture";
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", texts.uploading + " " + name.textContent);
    row.append(name, bar);
    list.append(row);
    return row;
  }

  async function send(file, row, place) {
    if (file.size > 4 * Number(texts.limit)) return say(row, texts.large);
    const query = new URLSearchParams({
      name: file.name || "picture",
      batch: texts.batch,
      place,
      point: new FormData(form).get("point") || "default",
    });
    for (let attempt = 0; attempt < 30; attempt++) {
      const { status, body, wait } = await post("/look?" + query, file, row.querySelector("progress"));
      if (status === 200) return body;
      if (status === 503 || status === 429) {
        say(row, texts.busy);
        await pause(1000 * (wait || 2));
        continue;
      }
      return say(row, [body.detail, body.hint].filter(Boolean).join(" ") || texts.failed);
    }
    return say(row, texts.failed);
  }

  function say(row, text) {
    row.querySelector(".wrong")?.remove();
    const note = document.createElement("span");
    note.className = "wrong";
    note.setAttribute("role", "alert");
    note.textContent = text;
    row.append(note);
    return null;
  }

  function post(address, file, bar) {
    return new Promise((done) => {
      const request = new XMLHttpRequest();
      request.open("POST", address);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("Accept", "application/json");
      request.upload.onprogress = (event) => {
        bar.value = event.lengthComputable ? event.loaded / event.total : 0;
      };
      request.onloadend = () => {
        let body = {};
        try {
          body = JSON.parse(request.responseText);
        } catch {
          // an answer without a body, as when the connection broke
        }
        done({ status: request.status, body, wait: Number(request.getResponseHeader("Retry-After")) });
      };
      request.send(file);
    });
  }
}

/* --- waiting ----------------------------------------------------------------------------------- */

async function setUpWaiting(box) {
  for (;;) {
    await pause(500);
    let answer;
    try {
      answer = await fetch(box.dataset.state, { headers: { Accept: "application/json" } });
    } catch {
      continue; // the service may be starting again
    }
    if (!answer.ok) return location.reload();
    const facts = await answer.json();
    if (!["waiting", "working"].includes(facts.state)) return location.reload();
    if (byId("stage").textContent !== facts.stage) byId("stage").textContent = facts.stage;
    const before = byId("before");
    before.textContent = facts.before ? before.dataset.text + " " + facts.before : "";
  }
}

/** Fetches this page again and puts one part of it in place of the one that is shown. */
async function refresh(name) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return null;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(name);
  const shown = byId(name);
  if (fresh && shown) {
    const ticked = new Set([...shown.querySelectorAll("input:checked")].map((each) => each.value));
    for (const each of fresh.querySelectorAll("input[type=checkbox]")) each.checked = ticked.has(each.value);
    const focused = shown.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    shown.replaceWith(fresh);
    if (focused) fresh.querySelector('a[href="' + CSS.escape(focused) + '"]')?.focus();
  }
  return fresh;
}

async function setUpList(list) {
  while (list && list.dataset.poll === "yes") {
    await pause(1000);
    try {
      list = await refresh("list");
    } catch {
      continue;
    }
  }
  setUpBlend();
}

async function setUpMap(section) {
  while (section && section.dataset.state === "ready") {
    await pause(700);
    try {
      const answer = await fetch(section.dataset.poll, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      if ((await answer.json()).state === "ready") continue;
      const answer2 = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer2.text(), "text/html");
      const fresh = page.getElementById("picture");
      if (!fresh) return;
      section.replaceWith(fresh);
      section = fresh;
      // What was found in a part of the picture belongs to the answer and to the evidence as well.
      for (const name of ["answer", "evidence"]) {
        const shown = byId(name), now = page.getElementById(name);
        if (shown && now && shown.textContent !== now.textContent) shown.replaceChildren(...now.childNodes);
      }
    } catch {
      continue;
    }
  }
  setUpSlider("opacity", "figure", "--map");
}

function setUpSlider(input, target, property) {
  const slider = byId(input), box = typeof target === "string" ? byId(target) : target;
  if (!slider || !box) return;
  const apply = () => box.style.setProperty(property, slider.value / 100);
  slider.addEventListener("input", apply);
  apply();
}

function setUpBlend() {
  setUpSlider("blend", document.querySelector(".over"), "--blend");
}

if (byId("drop")) setUpDrop(byId("drop"));
if (byId("waiting")) setUpWaiting(byId("waiting"));
if (byId("list")) setUpList(byId("list"));
if (byId("picture")) setUpMap(byId("picture"));
byId("print")?.addEventListener("click", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
  window.print();
});
