/** The web console: a page that calls the gateway it came from. */
import './styles/main.css';
import { render } from 'preact';
import { App } from './app/app.js';

render(<App />, document.getElementById('app')!);
