// Shows what happens to the job of this page, as it happens. EventSource connects again by itself after a loss, and tells
// the id of the last event that it saw: so each event comes once, also when the page is opened late or loaded again.

const FINAL = ["completed", "failed", "cancelled"];
const here = location.pathname;
const the = (id) => document.getElementById(id);

const events = new EventSource(`${here}/events`);
events.onmessage = ({ data }) => {
  const { event, state, percentage, message } = JSON.parse(data);
  the("state").textContent = event === "failed" ? `failed: ${message}` : state;
  the("cancel").hidden = FINAL.includes(state);
  if (event === "progress") {
    the("bar").value = percentage;
    the("row").textContent = message;
  }
  if (!FINAL.includes(state)) return;
  events.close(); // Otherwise it would ask again for ever.
  the("row").textContent = "";
  if (state === "completed") {
    the("bar").value = 100;
    const picture = new Image();
    picture.alt = "what was drawn";
    picture.src = `${here}/picture.png`;
    the("picture").replaceChildren(picture);
  }
};
events.onerror = () => {
  // It tries again by itself, unless it got an answer that is no stream.
  if (events.readyState === EventSource.CLOSED) the("state").textContent = "there is no news: load the page again";
};

the("cancel").onclick = () => fetch(`${here}/cancel`, { method: "POST" });
