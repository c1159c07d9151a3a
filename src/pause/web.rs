use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

// A message to itself is the shortest way through the event loop: timers wait 4 ms at least.
#[wasm_bindgen(inline_js = "
export function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
}")]
extern "C" {
    #[wasm_bindgen(js_name = nextTask)]
    fn next_task() -> js_sys::Promise;
}

/// Lets the event loop run what waits, a request to stop above all.
pub(crate) async fn pause() {
    // The promise is never rejected.
    let _ = JsFuture::from(next_task()).await;
}
