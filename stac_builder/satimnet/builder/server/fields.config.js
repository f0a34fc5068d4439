// How STAC Browser shows the fields of the SatImNet extension (extensions/README.md); its build
// takes this file in the place of its own.
import { DataTypes, Registry } from '@radiantearth/stac-fields';

// Words: the signs that it shows for them are in few fonts, and empty boxes without these.
DataTypes.boolean = (value) => (value ? 'yes' : 'no');

Registry.addExtension('satimnet', 'Training data (SatImNet)');

Registry.addMetadataFields({
  'satimnet:classes': 'Classes',
  'satimnet:concepts': 'Concepts',
  'satimnet:split': 'Split',
  'satimnet:fold': 'Fold of cross-validation',
  'satimnet:country': 'Country',
  'satimnet:predecessor': 'The same place in the earlier version',
  'satimnet:source': 'Taken from collection',
  'satimnet:synthetic': 'Made-up pixels',
  'satimnet:attribute_notes': 'Notes beside the attributes',
  'satimnet:formats': 'Formats of the images',
  'satimnet:data_types': 'Data types of the images',
  'satimnet:band_counts': 'Numbers of bands',
  'satimnet:band_names': 'Bands',
  'satimnet:rows': 'Rows',
  'satimnet:columns': 'Columns',
  'satimnet:bytes': { label: 'Size of the images', format: 'FileSize' },
  'satimnet:has_mask': 'Has a mask',
  'satimnet:has_annotation': 'Has an annotation',
  'satimnet:has_nodata': 'Has a no-data value',
  'satimnet:statistics': {
    label: 'Class statistics',
    items: {
      class: { label: 'Class', sortable: true },
      count: { label: 'Objects', sortable: true },
      pixels: { label: 'Pixels of the mask', sortable: true },
    },
  },
  'satimnet:classification_problem': 'Classification problem',
  'satimnet:tasks': 'Tasks',
  'satimnet:intended_application': 'Intended application',
  'satimnet:class_definition': 'Annotation as published',
  'satimnet:class_conversion': {
    label: 'Conversion to label images',
    properties: { converted: 'Converted', from: 'From', to: 'To' },
  },
  'satimnet:annotation_method': 'Annotation method',
  'satimnet:annotation_description': 'How the labels came about',
  'satimnet:verification_method': 'Verification method',
  'satimnet:geographic_coverage': 'Geographic coverage',
  'satimnet:timestamp': 'Sensing time as published',
  'satimnet:data_volume': { label: 'Volume as published', format: 'FileSize' },
  'satimnet:naming_convention': {
    label: 'File names',
    properties: { informative: 'Carry information', pattern: 'Pattern' },
  },
  'satimnet:documentation_quality': 'Quality of the documentation',
  'satimnet:continuous_development': 'Still developed',
  'satimnet:temporal_resolution': { label: 'Temporal resolution', format: 'Duration' },
  'satimnet:original_imagery': 'Original imagery',
  'satimnet:georeferenced': 'Georeferenced',
  'satimnet:orientation': 'Orientation',
  'satimnet:embedded_metadata': 'Metadata in the files',
  'satimnet:research_usage': {
    label: 'Research that used it',
    items: {
      title: { label: 'Title', sortable: true },
      purpose: 'Purpose',
      href: { label: 'Link', format: 'Url' },
      doi: { label: 'DOI', format: 'DOI' },
    },
  },
  'satimnet:citation_count': {
    label: 'Citations',
    properties: { count: 'Number', source: 'Source', date: { label: 'On', format: 'Date' } },
  },
  'satimnet:impact': 'Impact',
  'satimnet:release_date': { label: 'Released', format: 'Date' },
  'satimnet:recipe': { label: 'Recipe', summary: false },
  'satimnet:attribute_sources': 'Sources of these values',
  'satimnet:member_type': { label: 'Format in the shard', format: 'MediaType' },
  'satimnet:pixels': {
    label: 'Uncompressed pixels',
    properties: {
      offset: { label: 'First byte in the shard' },
      dtype: 'Type',
      shape: 'Shape',
      order: 'Order of the axes',
    },
  },
  'satimnet:original': {
    label: 'File as published',
    properties: {
      path: 'Path',
      type: { label: 'Format', format: 'MediaType' },
      'file:size': { label: 'Size', format: 'FileSize' },
      'file:checksum': { label: 'Checksum', format: 'Checksum' },
    },
  },
  archive: {
    label: 'Files in the shard',
    items: {
      href: { label: 'Path', sortable: true },
      type: { label: 'Format', format: 'MediaType' },
      range: 'First and last byte',
      'file:size': { label: 'Size', format: 'FileSize' },
    },
  },
});
