// `npm publish` here would publish this machine's binary inside the root package.
console.error('Publish the tarballs that `npm run pack` leaves in dist/: npm publish dist/NAME.tgz')
process.exitCode = 1
