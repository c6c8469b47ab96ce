/** The entry point of the device's own thread. */
import { openDevice } from './device.js';
import { serveDevice } from './device-worker.js';

await serveDevice(openDevice);
