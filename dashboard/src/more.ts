/** The screens of the second script: what a first visit can do without. */
export { AccountScreen } from "./screens/account.js";
export { AttentionScreen } from "./screens/attention.js";
export { ClipDialog } from "./screens/clip.js";
export { FilmScreen } from "./screens/film.js";
export { FilmsScreen } from "./screens/films.js";
export { ScenesScreen } from "./screens/scenes.js";
export { WebhooksScreen } from "./screens/webhooks.js";
