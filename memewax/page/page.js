"use strict";
// What is new arrives as parts of the page that the server has rendered; one in which somebody is reads on as it was.
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
