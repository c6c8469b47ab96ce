/** The whole page: the head, and the page that the address names. */
import { useEffect } from 'preact/hooks';
import { tokenWanted } from '../api/token.js';
import { ComparePage } from '../compare/compare-page.js';
import { DataPage } from '../data/data-page.js';
import { NewRunPage } from '../new-run/new-run-page.js';
import { RunPage } from '../run/run-page.js';
import { RunsPage } from '../runs/runs-page.js';
import { SchedulesPage } from '../schedules/schedules-page.js';
import { SystemPage } from '../system/system-page.js';
import { ConfirmDialog } from '../widgets/confirm.js';
import { Empty } from '../widgets/notes.js';
import { useStore } from '../widgets/store.js';
import { Toasts } from '../widgets/toasts.js';
import { AwayBanner, TokenForm } from './banners.js';
import { Header } from './header.js';
import { link, type Route } from './route.js';
import { useRoute } from './use-route.js';

export function App() {
  const route = useRoute();
  const wanted = useStore(tokenWanted);
  const place = `${route.project}/${route.page}/${route.id}`;
  useEffect(() => {
    document.title = `${titleOf(route)} · Dropstream`;
    scrollTo(0, 0);
  }, [place]);
  return (
    <>
      <Header route={route} />
      <AwayBanner />
      <main id="main" tabIndex={-1}>
        {wanted === '' ? <Page key={place} route={route} /> : <TokenForm />}
      </main>
      <Toasts />
      <ConfirmDialog />
    </>
  );
}

function Page({ route }: { readonly route: Route }) {
  const { project, id, options } = route;
  switch (route.page) {
    case 'runs':
      return <RunsPage project={project} filter={options.get('filter') ?? ''} />;
    case 'run':
      return <RunPage name={`${project}/runs/${id}`} />;
    case 'new-run':
      return <NewRunPage project={project} from={options} />;
    case 'compare':
      return <ComparePage project={project} ids={(options.get('runs') ?? '').split(',').filter((run) => run !== '')} />;
    case 'schedules':
    case 'schedule':
      return <SchedulesPage project={project} id={id} />;
    case 'data':
      return <DataPage project={project} manifest={id} />;
    case 'system':
      return <SystemPage project={project} />;
    default:
      return (
        <Empty page title="There is no such page.">
          <p>
            The address does not name anything. <a href={link(`${project}/runs`)}>Go to the runs</a>
          </p>
        </Empty>
      );
  }
}

function titleOf({ page, id }: Route): string {
  const titles = {
    runs: 'Runs',
    'new-run': 'New run',
    compare: 'Compare',
    schedules: 'Schedules',
    data: 'Data',
    system: 'System',
    unknown: 'Not found',
  };
  return page === 'run' || page === 'schedule' ? id : titles[page];
}
