// A picture larger than its room opens where the version is; without this it opens at its corner.

const room = document.querySelector(".lineage-room");
const box = room?.querySelector("#this")?.getBoundingClientRect();
if (box) {
  const frame = room.getBoundingClientRect();
  room.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
  room.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
}
