/** esbuild puts the text of the file in place of the import. */
declare module "*.txt" {
  const text: string;
  export default text;
}
