// Keeps an open usage page up to date: told by a stream where there is one, by asking once a minute where there is none.
"use strict";

(() => {
  const usage = document.getElementById("usage");
  if (!usage) return;
  const asksEveryMs = 60000;
  let asking = false;
  let again = false;

  async function reload() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch(usage.dataset.usage, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const open = [...usage.querySelectorAll("details")].map((each) => each.open);
        usage.innerHTML = await answer.text();
        usage.querySelectorAll("details").forEach((each, place) => { each.open = Boolean(open[place]); });
      } else if (answer.status === 404 || answer.status === 410) {
        location.reload();
      }
    } catch {
      // Out of reach for now: the stream or the next minute says when it is there again.
    } finally {
      asking = false;
      if (again) {
        again = false;
        reload();
      }
    }
  }

  let timer = null;
  const ask = () => { timer ??= setInterval(reload, asksEveryMs); };
  const told = () => { clearInterval(timer); timer = null; };

  if (!window.EventSource) {
    ask();
    return;
  }
  let stream = null;
  function listen() {
    stream = new EventSource(usage.dataset.live);
    let wasOpen = false;
    stream.addEventListener("open", () => { if (wasOpen || timer) reload(); wasOpen = true; told(); });
    stream.addEventListener("changed", reload);
    stream.addEventListener("error", () => {
      ask();
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 30000);
    });
  }
  listen();
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { listen(); reload(); } });
})();
