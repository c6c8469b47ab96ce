/** The page of a report, which is one file with everything in it. */
import '../styles/main.css';
import './report.css';
import { render } from 'preact';
import { readReport } from './read-report.js';
import { ReportApp } from './report-app.js';

const report = readReport('report-data');
document.title = report.title;
render(<ReportApp report={report} />, document.getElementById('app')!);
