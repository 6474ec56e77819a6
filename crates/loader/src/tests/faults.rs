//! Images that cannot be read, plugins that panic, and loaders that are dropped.

use super::*;

#[test]
fn an_unreadable_image_is_replaced_and_counted_once() {
    let plan = plan(some_unreadable(), 2);
    let unreadable = Arc::clone(&plan.unreadable);
    let batches = all(plan);
    for batch in &batches {
        assert_eq!(batch.images.len(), 8);
        assert!(batch.images.iter().all(|image| ![0, 7, 8, 33, 49].contains(image)));
    }
    let names: Vec<String> = unreadable.list().into_iter().map(|image| image.name).collect();
    assert_eq!(names, ["number 0", "number 33", "number 49", "number 7", "number 8"]);
}

#[test]
fn too_many_unreadable_images_end_the_run_for_good() {
    let images = Numbers { n: 50, unreadable: (0..40).collect(), ..Numbers::default() };
    let mut loader = Loader::start(plan(images, 2)).unwrap();
    let error = loop {
        match loader.next() {
            Ok(batch) => assert!(batch.is_some(), "the run ended without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LoaderError::TooManyUnreadable { n_images: 50, n_allowed: 16, .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(loader.next().is_err());
}

#[test]
fn a_caller_that_checks_by_itself_gets_every_batch() {
    let images = Numbers { n: 50, unreadable: (0..20).collect(), ..Numbers::default() };
    let plan = LoaderPlan { limit_check: LimitCheck::ByCaller, ..plan(images, 2) };
    let unreadable = Arc::clone(&plan.unreadable);
    assert_eq!(all(plan).len(), 18);
    assert_eq!(unreadable.len(), 20);
    assert!(matches!(unreadable.check(), Err(LoaderError::TooManyUnreadable { n_unreadable: 20, .. })));

    // It does not search through all images for one that can be read.
    let images = Numbers { n: 500, unreadable: (1..500).collect(), ..Numbers::default() };
    let plan = LoaderPlan { limit_check: LimitCheck::ByCaller, ..super::plan(images, 2) };
    let error = Loader::start(plan).unwrap().next().unwrap_err();
    assert!(matches!(error, LoaderError::TooManyUnreadable { .. }), "{error}");
}

#[test]
fn a_small_dataset_of_unreadable_images_is_an_error_and_no_endless_search() {
    let images = Numbers { n: 10, unreadable: (0..10).collect(), ..Numbers::default() };
    let error = Loader::start(plan(images, 2)).unwrap().next().unwrap_err();
    assert!(matches!(error, LoaderError::NoneReadable { n_images: 10 }), "{error}");
    let images = Numbers { n: 10, unreadable: (0..9).collect(), ..Numbers::default() };
    assert!(all(plan(images, 2)).iter().all(|batch| batch.images == [9; 8]));
}

#[test]
fn images_that_have_vanished_end_a_run_at_once() {
    for same_name in [false, true] {
        // A tenth of them may be unreadable, which is more than one search tries.
        let images =
            Numbers { n: 300_000, unreadable: (0..300_000).collect(), same_name, ..Numbers::default() };
        let images = Arc::new(images);
        let base = plan(Numbers { n: 300_000, ..Numbers::default() }, 2);
        let mut loader = Loader::start(LoaderPlan { images: Arc::clone(&images) as _, ..base }).unwrap();
        let error = loader.next().unwrap_err();
        assert!(matches!(error, LoaderError::NoneFound { .. }), "{error}");
        drop(loader);
        let n_loads = images.n_loads.load(Ordering::SeqCst);
        assert!(n_loads < 40_000, "{n_loads}");
    }
}

#[test]
fn lines_that_name_one_missing_file_are_as_many_images() {
    // Half of a list, which is far too many, under one name.
    let images = Numbers { n: 200, unreadable: (0..100).collect(), same_name: true, ..Numbers::default() };
    let mut loader = Loader::start(plan(images, 2)).unwrap();
    let error = loop {
        match loader.next() {
            Ok(batch) => assert!(batch.is_some(), "the run ended without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LoaderError::TooManyUnreadable { n_images: 200, n_allowed: 20, .. }), "{error}");
}

#[test]
fn a_panic_of_a_worker_is_an_error_that_names_the_image() {
    for n_workers in [1, 3] {
        let images = Numbers { n: 50, panics_at: Some(12), ..Numbers::default() };
        let mut loader = Loader::start(plan(images, n_workers)).unwrap();
        let error = loop {
            match loader.next() {
                Ok(batch) => assert!(batch.is_some(), "the run ended without an error"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("number 12") && error.contains("a bad codec"), "{error}");
        assert!(loader.next().is_err());
    }
}

#[test]
fn no_more_is_loaded_ahead_than_was_asked_for() {
    let images = Arc::new(Numbers { n: 400, slow: Some(3), ..Numbers::default() });
    let base = plan(Numbers { n: 400, ..Numbers::default() }, 4);
    let mut loader = Loader::start(LoaderPlan { images: Arc::clone(&images) as _, ..base }).unwrap();
    for n_taken in 1..=10 {
        loader.next().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let n_loads = images.n_loads.load(Ordering::SeqCst);
        assert!(n_loads <= (n_taken + 2) * 8, "{n_loads} loads after {n_taken} batches");
    }
}

#[test]
fn a_loader_that_is_dropped_early_stops_its_threads() {
    let images = Arc::new(Numbers { n: 400, ..Numbers::default() });
    let base = plan(Numbers { n: 400, ..Numbers::default() }, 4);
    let mut loader =
        Loader::start(LoaderPlan { images: Arc::clone(&images) as _, prefetch_batches: 40, ..base }).unwrap();
    loader.next().unwrap();
    drop(loader);
    // The threads are joined, so nothing of theirs is left.
    assert_eq!(Arc::strong_count(&images), 1);
}

#[test]
fn images_of_two_sizes_in_one_view_are_an_error() {
    let uneven = Arc::new(ViewTransform { steps: vec![Box::new(Uneven) as _] });
    let views = vec![("x".into(), uneven), ("y".into(), noisy())];
    let mut loader =
        Loader::start(LoaderPlan { views, ..plan(Numbers { n: 8, ..Numbers::default() }, 1) }).unwrap();
    let error = loader.next().unwrap_err();
    assert!(matches!(&error, LoaderError::Size { view, .. } if view == "x"), "{error}");
}

#[test]
fn an_augmentation_that_gives_another_image_than_it_declares_is_an_error() {
    let told = |size, values| {
        let steps: Vec<Box<dyn Augmentation>> = vec![Box::new(Untrue { size, values })];
        let views = vec![("x".into(), Arc::new(ViewTransform { steps })), ("y".into(), noisy())];
        let plan = plan(Numbers { n: 8, ..Numbers::default() }, 1);
        let loader = Loader::start(LoaderPlan { views, ..plan });
        loader.unwrap().next().err().map(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
    };
    assert_eq!(told((2, 2), ImageValues::Bytes), None);
    let size = told((4, 2), ImageValues::Bytes).unwrap();
    let expected = "step 1 of the view `x` declares images of 4 by 2 pixels and gives images of 2 by 2 pixels, of number ";
    assert!(size.starts_with(expected) && size.contains("its `output` must say"), "{size}");
    let bytes = told((2, 2), ImageValues::Floats).unwrap();
    assert!(bytes.starts_with("step 1 of the view `x` declares floats and gives bytes, of"), "{bytes}");
}

#[test]
fn fewer_images_than_a_batch_are_refused() {
    let error = Loader::start(plan(Numbers { n: 7, ..Numbers::default() }, 1)).err().unwrap();
    assert_eq!(error.to_string(), "there are 7 images, and a batch takes 8");
}

#[test]
fn the_unreadable_are_counted_batch_by_batch_whatever_the_number_of_workers() {
    let broken = || Numbers { n: 50, unreadable: (0..25).collect(), ..Numbers::default() };
    let mut told = BTreeSet::new();
    for n_workers in [1, 2, 3, 8] {
        let mut loader = Loader::start(plan(broken(), n_workers)).unwrap();
        let error = loop {
            if let Err(error) = loader.next() {
                break error;
            }
        };
        told.insert(error.to_string());
    }
    assert_eq!(told.len(), 1, "{told:?}");
}
