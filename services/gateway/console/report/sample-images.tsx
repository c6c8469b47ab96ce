/** Images as the model saw them. */
import type { ReportImage } from '#client/report-data.js';

export function SampleImages({ images }: { readonly images: readonly ReportImage[] }) {
  return (
    <section class="card" aria-labelledby="images-title">
      <h2 id="images-title">What the model sees</h2>
      <p class="muted">The first images of the first batch, augmented as in training. The data service rendered them.</p>
      <ul class="samples">
        {images.map(({ url, className, steps }) => (
          <li key={url} title={steps.join('; ')}>
            <img src={url} alt={className} />
            {className}
          </li>
        ))}
      </ul>
    </section>
  );
}
