// Shows the title of the mark nearest to the pointer, at once; without this script the browser shows titles itself.
"use strict";
for (const svg of document.querySelectorAll(".plot svg")) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  svg.parentNode.append(tip);
  let places = null;
  let lit = null;
  // All boxes are read before the first title goes: a change between two readings would lay out the page anew.
  const read = () => {
    const titles = [...svg.querySelectorAll(".marks title")];
    places = titles.map((title) => {
      const mark = title.parentNode;
      const box = mark.getBBox();
      return { mark, text: title.textContent, x: box.x + box.width / 2, y: box.y + box.height / 2 };
    });
    titles.forEach((title) => title.remove());
  };
  const light = (mark) => {
    if (lit) lit.classList.remove("lit");
    if (mark) mark.classList.add("lit");
    lit = mark;
    tip.hidden = !mark;
  };
  svg.addEventListener("pointerenter", () => places || read());
  svg.addEventListener("pointermove", (event) => {
    const matrix = svg.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let nearest = null;
    let least = 14 / matrix.a;
    for (const place of places || []) {
      const distance = Math.hypot(place.x - at.x, place.y - at.y);
      if (distance < least && getComputedStyle(place.mark).opacity > 0.2) [nearest, least] = [place, distance];
    }
    light(nearest && nearest.mark);
    if (!nearest) return;
    tip.textContent = nearest.text;
    const frame = svg.parentNode.getBoundingClientRect();
    const left = nearest.x * matrix.a + matrix.e - frame.left;
    const top = nearest.y * matrix.d + matrix.f - frame.top;
    tip.style.left = Math.max(0, Math.min(left + 12, frame.width - tip.offsetWidth)) + "px";
    tip.style.top = (top + 14 + tip.offsetHeight > frame.height ? top - 10 - tip.offsetHeight : top + 14) + "px";
  });
  svg.addEventListener("pointerleave", () => light(null));
}
