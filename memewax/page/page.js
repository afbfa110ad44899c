"use strict";
// Live updates replace parts of the page by HTML from the server, except a part that has the keyboard focus.
const live = document.querySelector("[data-events]");
if (live) {
  const events = new EventSource(live.dataset.events);
  for (const part of live.querySelectorAll("[data-part]")) {
    events.addEventListener(part.dataset.part, (event) => {
      if (!part.contains(document.activeElement)) part.innerHTML = event.data;
    });
  }
  addEventListener("pagehide", () => events.close());
}
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  const box = document.getElementById("q");
  if (event.key === "/" && box && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
  }
});
// Send an image that is chosen, dropped or pasted, with the words in the search box.
const byImage = document.querySelector("[data-by-image]");
if (byImage) {
  const chosen = document.getElementById("image");
  const send = () => {
    byImage.elements.q.value = document.getElementById("q").value;
    byImage.requestSubmit();
  };
  const take = (files) => {
    const image = [...(files ?? [])].find((file) => file.type.startsWith("image/"));
    if (!image) return false;
    const held = new DataTransfer();
    held.items.add(image);
    chosen.files = held.files;
    send();
    return true;
  };
  chosen.addEventListener("change", () => { if (chosen.files.length) send(); });
  addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (event.dataTransfer?.files.length) {
      event.preventDefault();
      take(event.dataTransfer.files);
    }
  });
  addEventListener("paste", (event) => { if (take(event.clipboardData?.files)) event.preventDefault(); });
}
