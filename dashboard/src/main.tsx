/** The dashboard: enters, and shows the screen of the place. */
import { useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";

import { enter, type Fault, faultOf, session } from "./api.js";
import { fetchMore, Later } from "./later.js";
import { Failed } from "./parts.js";
import { place } from "./router.js";
import { JobScreen } from "./screens/job.js";
import { JobsScreen } from "./screens/jobs.js";
import { LoginScreen } from "./screens/login.js";
import { Brand, project, Shell, useOutside } from "./shell.js";
import { begin, end, follow, recount } from "./store.js";
import { countTroubled } from "./webhooks.js";

// After what the first screen asks for.
const MORE_MS = 500;

function Screen() {
  const { parts } = place.value;
  if (parts[0] === "attention") return <Later show={({ AttentionScreen }) => <AttentionScreen chosen={parts[1] ?? ""} />} />;
  if (parts[0] === "webhooks") return <Later show={({ WebhooksScreen }) => <WebhooksScreen chosen={parts[1] ?? ""} />} />;
  if (parts[0] === "account") return <Later show={({ AccountScreen }) => <AccountScreen />} />;
  const [screen = "jobs", id = ""] = parts.slice(2);
  if (screen === "films" && id !== "") return <Later show={({ FilmScreen }) => <FilmScreen key={id} projectId={project.value} filmId={id} />} />;
  if (screen === "films") return <Later show={({ FilmsScreen }) => <FilmsScreen key={project.value} projectId={project.value} />} />;
  if (screen === "scenes") return <Later show={({ ScenesScreen }) => <ScenesScreen key={project.value} projectId={project.value} sceneId={id} />} />;
  if (screen === "jobs" && id !== "") return <JobScreen key={id} jobId={id} />;
  return (
    <>
      <JobsScreen key={project.value} projectId={project.value} />
      {screen === "new" && <Later show={({ ClipDialog }) => <ClipDialog key={location.hash} projectId={project.value} />} />}
    </>
  );
}

function Inside() {
  useOutside();
  useEffect(() => {
    begin();
    recount(0);
    setTimeout(fetchMore, MORE_MS);
    const stop = countTroubled();
    return () => {
      stop();
      end();
    };
  }, []);
  useEffect(() => follow(project.value), [project.value]);
  return (
    <Shell>
      <Screen />
    </Shell>
  );
}

const root = document.getElementById("app")!;

function App() {
  const fault = useSignal<Fault | undefined>(undefined);
  const ask = () => {
    fault.value = undefined;
    enter().catch((error: unknown) => (fault.value = faultOf(error)));
  };
  useEffect(ask, []);
  const { is } = session.value;
  useEffect(() => void root.classList.toggle("inside", is === "in"), [is]);
  if (is === "in") return <Inside />;
  if (is === "out") return <LoginScreen />;
  return (
    <main class="alone" aria-busy={fault.value === undefined || undefined}>
      <div class="stack">
        <h1>
          <Brand />
        </h1>
        {fault.value && <Failed fault={fault.value} what="The service could not be reached" again={ask} />}
      </div>
    </main>
  );
}

render(<App />, root);
