// A classifier of your own, step by step.

import { byId } from "./dom.js";
import { dataStep } from "./step-data.js";
import { modelStep } from "./step-model.js";
import { resultStep } from "./step-result.js";
import { trainStep } from "./step-train.js";
import { tryStep } from "./step-try.js";

modelStep();
dataStep();
trainStep();
resultStep();
tryStep();

const network = byId("network");
function tellNetwork(): void {
  network.textContent = navigator.onLine ? "" : "Offline: models that are in this browser work as before. ";
}
addEventListener("online", tellNetwork);
addEventListener("offline", tellNetwork);
tellNetwork();

// A file that misses its zone must not replace the page.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  void navigator.serviceWorker.register(new URL("./service-worker.js", document.baseURI));
}
