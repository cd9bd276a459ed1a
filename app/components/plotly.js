let library = null;

/** plotly.js, loaded once per page from this server. */
export function plotly() {
  library ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.createElement('script');
    script.src = new URL('palora/plotly.min.js', document.baseURI).href;
    script.async = true;
    script.onload = () => (window.Plotly ? resolve(window.Plotly) : reject(new Error('plotly did not load')));
    script.onerror = () => reject(new Error('plotly did not load'));
    document.head.append(script);
  });
  return library;
}
